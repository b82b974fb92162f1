// Admission to the KV cache where there is not room for all: an answer that has begun is finished.
//
// Answers are admitted in order of arrival, as soon as their tokens fit beside those of all others
// and each could grow by a share. The length of an answer is unknown, so the cache may run short
// all the same. Then blocks are evicted, in this order, from: texts that no session holds (kv.ts),
// sessions without work, answers whose consumer is idle, the youngest answer. That one waits, is
// admitted again, and its tokens are computed again, unless the cache still has them. So the oldest
// answer always goes on, and one that is admitted again has a share to grow into, which makes the
// recomputation worthwhile. (vLLM does the same, without the shares: "preemption by
// recomputation".)
//
// Example, 100 blocks, a share of 8: A (older) holds 50, B 40. C needs 12 blocks: 50 + 8 + 40 + 8 +
// 12 + 8 > 100, so C waits. A and B take the last 10 blocks. For A's next block B is evicted, and
// waits before C. A ends: B and C are admitted.

import { onAbort } from "../abort.ts";
import { abortReason, MemoryError, RequestError } from "../errors.ts";
import { Claim, PAUSE_MS } from "./claim.ts";
import type { BlockPool, Span } from "./kv.ts";

/** Positions of a share, where the cache is large. */
const SHARE = 256;
/**
 * A share is at most this part of the cache, and at least this part of the tokens to compute again.
 */
const OF_CACHE = 1 / 16;
const OF_TOKENS = 1 / 8;

/** Work that waits for room in the KV cache, and what evictions have cost. */
export interface RoomUsage {
  /** Answers and other work waiting for room. */
  readonly waiting: number;
  /** How often an answer's blocks were evicted before it had ended. */
  readonly suspensions: number;
  /** Tokens that were computed again because their blocks had been evicted. */
  readonly recomputedTokens: number;
}

export interface Room {
  readonly pool: BlockPool;
  /** Most positions of a sequence that is alone. */
  readonly capacity: number;
  /** A sequence without blocks. */
  claim(): Claim;
  /** @throws MemoryError if even a sequence that is alone cannot have so many positions */
  check(positions: number): void;
  /**
   * Begins work on a sequence that may use up to `limit` positions: the youngest work from now on.
   */
  begin(claim: Claim, limit: number): void;
  /** Ends the work. The sequence keeps its blocks until others need them. */
  end(claim: Claim): void;
  /** Frees the blocks of a sequence that is no longer needed. */
  remove(claim: Claim): void;
  /**
   * Waits until there is room for `tokens` and a share, in order of arrival. Rejects with the
   * signal's reason as soon as it is aborted, and after leave() and close().
   * @throws MemoryError if they do not fit even alone
   */
  enter(claim: Claim, tokens: readonly number[], signal?: AbortSignal): Promise<void>;
  /**
   * Whether a prompt of so many tokens has room beside all work that has begun, also with a share
   * for each, without blocks of any being evicted.
   */
  hasRoom(tokens: number): boolean;
  /** Makes a claim that waits in enter() reject. */
  leave(claim: Claim, error: Error): void;
  /**
   * Between steps: gives the sequence blocks for `positions`, and panes for the tokens of `span`,
   * by default those that it lacks; evicts others if need be. False: its own were evicted, and it
   * must enter() again.
   * @throws MemoryError if nothing is left to evict, as on a device that has less memory than its
   * budget; a pinned claim is never evicted
   */
  place(claim: Claim, positions: number, span?: Span): Promise<boolean>;
  /** Counts tokens that were computed again. */
  recomputed(tokens: number): void;
  usage(): RoomUsage;
  /** Rejects all that waits. */
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
  let looking = false; // look() is scheduled
  let timer: ReturnType<typeof setTimeout> | null = null;

  const capacity = (): number => pool.most * pool.blockSize;
  const blocksOf = (positions: number): number => Math.ceil(positions / pool.blockSize);

  /** Blocks that a claim needs to grow by `share` positions. */
  function wanted(claim: Claim, share: number): number {
    return blocksOf(Math.min(claim.limit, Math.max(claim.size, claim.length) + share));
  }

  /** Positions that answers should have room to grow by where one has so many tokens. */
  function shareOf(tokens: number): number {
    return Math.max(Math.min(SHARE, Math.floor(OF_CACHE * capacity())), Math.ceil(OF_TOKENS * tokens));
  }

  /** Whether there is room for the first one that waits. */
  function fits({ claim, tokens }: Waiting): boolean {
    const others = [...claims].filter((other) => other !== claim && other.admitted && !other.idle);
    claim.size = tokens.length;
    claim.shared = pool.shared(tokens, claim.key);
    if (others.length === 0) return true;
    if (pool.states && others.length >= pool.states.most) return false;
    const share = shareOf(tokens.length);
    // An answer that runs ahead may hold more than a share; it gives the rest back before
    // the next batch.
    const pinned = others.filter((other) => other.pinned).length;
    const blocks = [claim, ...others].map((one) => wanted(one, share));
    if (pool.windows?.fits(blocks, pinned) === false) return false;
    let more = 0;
    for (const one of [claim, ...others]) more += wanted(one, share) - Math.max(one.blocks.length, one.shared);
    let spare = pool.available;
    for (const other of claims) if (other !== claim && other.idle) spare += pool.own(other.blocks);
    return more <= spare;
  }

  function hasRoom(tokens: number): boolean {
    const begun = [...claims].filter(({ order }) => order !== null);
    if (begun.some(({ admitted }) => !admitted)) return false; // some wait for room already
    if (pool.states && begun.length >= pool.states.most) return false;
    const share = shareOf(tokens);
    const own = blocksOf(Math.min(capacity(), tokens + share));
    const blocks = begun.map((one) => wanted(one, share));
    const pinned = begun.filter((one) => one.pinned).length;
    if (pool.windows?.fits([own, ...blocks], pinned) === false) return false;
    let more = own;
    for (const [i, one] of begun.entries()) more += blocks[i]! - Math.max(one.blocks.length, one.shared);
    return more <= pool.available;
  }

  /** Admits waiting work while it fits, and looks again when a consumer may have become idle. */
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

  /**
   * Something changed that may let others go on. Deferred, because what frees one block mostly
   * frees more of them.
   */
  function changed(): void {
    if (looking || waiting.length === 0) return;
    looking = true;
    queueMicrotask(look);
  }
  pool.watch(changed);

  function evict(claim: Claim): void {
    if (claim.order !== null && claim.admitted) suspensions++;
    claim.evict();
    free(claim);
  }

  function free(claim: Claim): void {
    pool.shrink(claim.blocks, 0);
    pool.states?.release(claim);
  }

  /** Whether a sequence holds what others may need: blocks, or a slot of states. */
  const holds = ({ blocks, state }: Claim): boolean => blocks.length > 0 || state !== null;

  /** Whose blocks to evict for `claim`: see the top of this file. */
  function victim(claim: Claim): Claim | null {
    const holders = [...claims].filter((other) => other !== claim && holds(other) && !other.pinned);
    const idle = holders.filter((other) => other.idle);
    if (idle.length > 0) return idle.reduce((a, b) => (b.since < a.since ? b : a));
    const younger = holders.filter(({ order }) => (order ?? 0) > (claim.order ?? 0));
    return younger.length === 0 ? null : younger.reduce((a, b) => (b.order! > a.order! ? b : a));
  }

  /** Whether a sequence can have no panes for tokens while others hold theirs. */
  function lacks({ blocks, pinned }: Claim, { from, to }: Span): boolean {
    const { windows } = pool;
    if (windows === null) return false;
    // What a pinned one is pledged was there once: it ends only where a step cannot be computed.
    const want = pinned ? windows.missing(blocks, from, to) : windows.wanted(blocks, from, to);
    return windows.available(blocks) < want;
  }

  /** Whether older or pinned work holds blocks that will come back. */
  const othersHold = (claim: Claim): boolean => [...claims].some((other) => other !== claim && holds(other));

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
      pool.windows?.unpledge(claim.blocks);
      claim.rest();
      changed();
    },
    remove(claim) {
      claims.delete(claim);
      claim.admitted = false;
      claim.length = 0;
      free(claim);
      changed();
    },
    async enter(claim, tokens, signal) {
      if (claim.admitted) return;
      if (closed) throw new RequestError("the model is closed");
      if (signal?.aborted) throw abortReason(signal);
      check(tokens.length);
      await new Promise<void>((resolve, reject) => {
        const stay = onAbort(signal, () => refuse(abortReason(signal!)));
        const settled = (): void => {
          stay();
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
        const at = waiting.findIndex((other) => other.claim.order! > claim.order!);
        waiting.splice(at < 0 ? waiting.length : at, 0, entry);
        look();
      });
    },
    hasRoom,
    leave(claim, error) {
      waiting.find((entry) => entry.claim === claim)?.refuse(error);
    },
    async place(claim, positions, span = { from: claim.length, to: positions }) {
      check(positions);
      // Panes that it no longer sees are the first to be had.
      pool.windows?.leave(claim.blocks, span.from);
      let refusal: MemoryError | null = null;
      while (claim.admitted) {
        const missing = pool.missing(claim.blocks, positions);
        while (pool.available < missing || lacks(claim, span) || pool.states?.take(claim) === false) {
          const other = victim(claim);
          if (other) evict(other);
          else if (othersHold(claim) && !claim.pinned) {
            evict(claim);
            return false;
          } else throw refusal ?? tooMuch(positions);
        }
        try {
          await pool.grow(claim.blocks, positions, span);
          return true;
        } catch (error) {
          // The device has less memory than the budget: blocks of others may be enough.
          if (!(error instanceof MemoryError) || !othersHold(claim)) throw error;
          refusal = error;
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
