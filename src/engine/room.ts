// Who may hold keys and values where there is not room for all: an answer that was begun is finished.
//
// Answers are admitted in order of arrival, as soon as their tokens fit beside those of all others and each could grow by a
// share. Nobody knows how long an answer will be, so the cache may run short all the same. Then blocks are taken, in this
// order, from: texts that no session holds (kv.ts), sessions without work, answers that nobody reads, the youngest answer. That
// one waits, is admitted again, and its tokens are computed again, as far as the cache does not still have them. So the
// oldest answer always goes on, and the one that was admitted again has a share to go on with: it is worth the work.
// (vLLM does the same, without the shares: "preemption by recomputation".)
//
// Example, 100 blocks, a share of 8: A (older) holds 50, B 40. C needs 12 blocks: 50 + 8 + 40 + 8 + 12 + 8 > 100, so C waits.
// A and B take the last 10 blocks; for A's next block B gives up its own, and waits before C. A ends: B and C are admitted.

import { abortReason, MemoryError, RequestError } from "../errors.ts";
import { Claim, PAUSE_MS } from "./claim.ts";
import type { BlockPool } from "./kv.ts";

/** Positions of a share, where the cache is large. */
const SHARE = 256;
/** A share is at most this part of the cache, and at least this part of what is computed again for it. */
const OF_CACHE = 1 / 16;
const OF_TOKENS = 1 / 8;

export interface RoomUsage {
  /** Pieces of work that wait until there is room for them. */
  readonly waiting: number;
  /** How often an answer gave up its blocks before it had ended. */
  readonly suspensions: number;
  /** Tokens that were computed again because their blocks had been given up. */
  readonly recomputedTokens: number;
}

export interface Room {
  readonly pool: BlockPool;
  /** Positions that a sequence can have when it is alone. */
  readonly capacity: number;
  /** A sequence without blocks. */
  claim(): Claim;
  /** @throws MemoryError where not even a sequence alone can have so many positions */
  check(positions: number): void;
  /** Work on a sequence begins that may come to use `limit` positions: it is younger than all that has begun. */
  begin(claim: Claim, limit: number): void;
  /** The work has ended. The sequence keeps its blocks until others need them. */
  end(claim: Claim): void;
  /** The sequence is no more: its blocks are free. */
  remove(claim: Claim): void;
  /**
   * Resolves when there is room for `tokens` and a share, in order of arrival. Rejects with the signal's reason as soon as it is
   * aborted, and as leave() and close() say. @throws MemoryError where they do not fit even alone
   */
  enter(claim: Claim, tokens: readonly number[], signal?: AbortSignal): Promise<void>;
  /** Makes a claim that waits in enter() reject. */
  leave(claim: Claim, error: Error): void;
  /**
   * Between steps: gives the sequence blocks for `positions`, taken from others if need be. False: it has lost its own, and
   * is to enter() again. @throws MemoryError where nothing is left to take, as by a device that has less than its budget
   */
  place(claim: Claim, positions: number): Promise<boolean>;
  /** Notes that tokens were computed again. */
  recomputed(tokens: number): void;
  usage(): RoomUsage;
  /** Rejects all that wait. */
  close(): void;
}

interface Waiting {
  readonly claim: Claim;
  readonly tokens: readonly number[];
  readonly admit: () => void;
  readonly refuse: (error: Error) => void;
}

export function createRoom(pool: BlockPool): Room {
  const claims = new Set<Claim>();
  let waiting: Waiting[] = []; // oldest first
  let arrivals = 0;
  let suspensions = 0;
  let recomputedTokens = 0;
  let closed = false;
  let looking = false; // a look at who waits is to come
  let timer: ReturnType<typeof setTimeout> | null = null;

  const capacity = (): number => pool.most * pool.blockSize;
  const blocksOf = (positions: number): number => Math.ceil(positions / pool.blockSize);

  /** Blocks that a claim should have while it and all others take another `share` positions. */
  function wanted(claim: Claim, share: number): number {
    return blocksOf(Math.min(claim.limit, Math.max(claim.size, claim.length) + share));
  }

  /** Whether the first one that waits may go on. */
  function fits({ claim, tokens }: Waiting): boolean {
    const others = [...claims].filter((other) => other !== claim && other.admitted && !other.idle);
    claim.size = tokens.length;
    claim.shared = pool.shared(tokens);
    if (others.length === 0) return true;
    const share = Math.max(Math.min(SHARE, Math.floor(OF_CACHE * capacity())), Math.ceil(OF_TOKENS * tokens.length));
    // An answer that runs ahead holds more than a share: it gives that back before the next batch.
    let more = 0;
    for (const one of [claim, ...others]) more += wanted(one, share) - Math.max(one.blocks.length, one.shared);
    let spare = pool.available;
    for (const other of claims) if (other !== claim && other.idle) spare += pool.own(other.blocks);
    return more <= spare;
  }

  /** Admits who fits, in order, and looks again when an answer may have been left alone for too long. */
  function look(): void {
    looking = false;
    if (timer !== null) clearTimeout(timer);
    timer = null;
    for (let first = waiting[0]; first && fits(first); first = waiting[0]) {
      waiting.shift();
      first.admit();
    }
    if (waiting.length === 0) return;
    const left = [...claims].filter(({ admitted, asked, idle }) => admitted && !asked && !idle);
    if (left.length === 0) return;
    const soonest = Math.min(...left.map(({ since }) => since)) + PAUSE_MS - performance.now();
    timer = setTimeout(look, Math.max(1, Math.ceil(soonest)));
  }

  /** Something changed that may let others go on. Not at once: whatever frees one block mostly frees others too. */
  function changed(): void {
    if (looking || waiting.length === 0) return;
    looking = true;
    queueMicrotask(look);
  }
  pool.watch(changed);

  function suspend(claim: Claim): void {
    if (claim.order !== null && claim.admitted) suspensions++;
    claim.evict();
    pool.shrink(claim.blocks, 0);
  }

  /** Whose blocks to take for `claim`: see the top of this file. */
  function victim(claim: Claim): Claim | null {
    const holders = [...claims].filter((other) => other !== claim && other.blocks.length > 0 && !other.pinned);
    const idle = holders.filter((other) => other.idle);
    if (idle.length > 0) return idle.reduce((a, b) => (b.since < a.since ? b : a));
    const younger = holders.filter(({ order }) => (order ?? 0) > (claim.order ?? 0));
    return younger.length === 0 ? null : younger.reduce((a, b) => (b.order! > a.order! ? b : a));
  }

  /** Whether older or pinned work holds blocks that will come back. */
  const othersHold = (claim: Claim): boolean => [...claims].some((other) => other !== claim && other.blocks.length > 0);

  function tooMuch(positions: number): MemoryError {
    return new MemoryError(
      `KV cache: ${blocksOf(positions) * pool.blockSize} positions are needed and the memory budget has room for ${capacity()}; shorten the prompt or raise the budget`,
    );
  }

  function check(positions: number): void {
    if (blocksOf(positions) > pool.most) throw tooMuch(positions);
  }

  return {
    pool,
    get capacity() {
      return capacity();
    },
    check,
    claim() {
      const claim = new Claim();
      claims.add(claim);
      return claim;
    },
    begin(claim, limit) {
      claim.order = ++arrivals;
      claim.limit = limit;
      claim.size = 0;
      claim.ask();
    },
    end(claim) {
      claim.order = null;
      claim.admitted = false;
      claim.pinned = false;
      claim.rest();
      changed();
    },
    remove(claim) {
      claims.delete(claim);
      claim.admitted = false;
      claim.length = 0;
      pool.shrink(claim.blocks, 0);
      changed();
    },
    async enter(claim, tokens, signal) {
      if (claim.admitted) return;
      if (closed) throw new RequestError("the model is closed");
      if (signal?.aborted) throw abortReason(signal);
      check(tokens.length);
      await new Promise<void>((resolve, reject) => {
        const abort = (): void => refuse(abortReason(signal!));
        const settled = (): void => {
          signal?.removeEventListener("abort", abort);
          waiting = waiting.filter((other) => other !== entry);
          changed();
        };
        const refuse = (error: Error): void => {
          settled();
          reject(error);
        };
        const admit = (): void => {
          settled();
          claim.admitted = true;
          resolve();
        };
        const entry: Waiting = { claim, tokens, admit, refuse };
        signal?.addEventListener("abort", abort);
        const at = waiting.findIndex((other) => other.claim.order! > claim.order!);
        waiting.splice(at < 0 ? waiting.length : at, 0, entry);
        look();
      });
    },
    leave(claim, error) {
      waiting.find((entry) => entry.claim === claim)?.refuse(error);
    },
    async place(claim, positions) {
      check(positions);
      while (claim.admitted) {
        const missing = pool.missing(claim.blocks, positions);
        while (pool.available < missing) {
          const other = victim(claim);
          if (other) suspend(other);
          else if (othersHold(claim)) {
            suspend(claim);
            return false;
          } else throw tooMuch(positions);
        }
        try {
          await pool.grow(claim.blocks, positions);
          return true;
        } catch (error) {
          // The device has less than the budget: what others hold may do.
          if (!(error instanceof MemoryError) || !othersHold(claim)) throw error;
        }
      }
      return false;
    },
    recomputed(tokens) {
      recomputedTokens += tokens;
    },
    usage: () => ({ waiting: waiting.length, suspensions, recomputedTokens }),
    close() {
      closed = true;
      if (timer !== null) clearTimeout(timer);
      for (const { refuse } of [...waiting]) refuse(new RequestError("the model is closed"));
    },
  };
}
