// Turns: which answers are computed now, and which wait. Places are shared in time, so that no
// request waits for the end of long answers.
//
// An answer that has a place gives it up between two tokens
//   - to a request that has not begun, after BEGUN tokens of its turn,
//   - to an answer that was interrupted, after SLICE tokens,
//   - to any of them while its consumer takes nothing for IDLE_MS.
// It then waits behind those that were interrupted before, and goes on where it was: its blocks of
// the KV cache stay, unless the memory is needed (room.ts). Of two places that become free, one
// goes to those that have not begun, and one to the interrupted, so neither waits without end.
// Where the memory has no room for one more beside all that have begun, nothing is interrupted: the
// answers that run are finished first.
//
// Example, 2 places: A and B run, C comes. A has 16 tokens and gives its place to C. When that one
// has ended, A is first among the interrupted and goes on.

import { onAbort } from "../abort.ts";
import { abortReason, BusyError, RequestError } from "../errors.ts";
import type { Piece } from "./api.ts";

/**
 * Few, because a request may wait for so many steps; more than one, because each change puts the
 * batch together anew.
 */
export const BEGUN = 16;
export const SLICE = 256;
/** Readers take a token within far less, unless their connection is full. */
export const IDLE_MS = 50;

export interface QueueOptions {
  /** Most generations at once. */
  readonly parallel: number;
  /** Most requests that wait, those that were interrupted included. */
  readonly queue: number;
}

/** A place among the answers that are computed, or in the line for one. */
export interface Turn {
  /** Notes so many tokens that were computed, whose consumer has them now and asks for no more. */
  rest(tokens: number): void;
  /**
   * The consumer asks for more: resolves at once, or when it is this answer's turn again.
   * @throws the signal's reason while it waits; RequestError after close()
   */
  resume(signal?: AbortSignal): Promise<void>;
  /** Ends it, wherever it is. Safe to call twice. */
  leave(): void;
}

export interface Queue {
  /** Answers that have a place. */
  readonly running: number;
  /** Requests that wait for one, before they begin or because they were interrupted. */
  readonly queued: number;
  /**
   * Waits for a turn, which the caller must leave().
   * @param tokens of the prompt
   * @throws BusyError at once where the queue is full; the signal's reason, also while waiting;
   * RequestError after close()
   */
  enter(signal?: AbortSignal, tokens?: number): Promise<Turn>;
  /** Rejects all requests, waiting and later ones. */
  close(): void;
}

interface Answer {
  readonly tokens: number;
  /** Tokens since it has its place. */
  used: number;
  /** Since when its consumer takes nothing: performance.now(); null: it waits for a token. */
  since: number | null;
  /** What ends its waiting. */
  begin: () => void;
  refuse: (error: unknown) => void;
}

/**
 * @param fits whether memory has room for a prompt of so many tokens beside all answers that have
 * begun
 */
export function createQueue({ parallel, queue }: QueueOptions, fits: (tokens: number) => boolean = () => true): Queue {
  const running = new Set<Answer>();
  /** Those whose place was given away while their consumers took nothing. */
  const away = new Set<Answer>();
  /** Those that wait, the first in front: sets keep their order. */
  const newcomers = new Set<Answer>();
  const interrupted = new Set<Answer>();
  let older = false; // whether the next place is for the interrupted, if both wait
  let closed = false;
  let timer: ReturnType<typeof setTimeout> | null = null;

  const waiting = (): number => newcomers.size + interrupted.size;
  const queued = (): number => waiting() + away.size;

  /** Takes the next one out of its line. */
  function next(): Answer | null {
    const both = newcomers.size > 0 && interrupted.size > 0;
    const line = interrupted.size > 0 && (!both || older) ? interrupted : newcomers;
    if (both) older = !older;
    for (const answer of line) {
      line.delete(answer);
      return answer;
    }
    return null;
  }

  function place(answer: Answer): void {
    running.add(answer);
    answer.used = 0;
    answer.since = null;
  }

  /** Gives free places to those that wait. */
  function fill(): void {
    while (running.size < parallel) {
      const answer = next();
      if (answer === null) return;
      place(answer);
      answer.begin();
    }
    watch();
  }

  /** Looks after the places whose consumers take nothing, as long as others wait. */
  function watch(): void {
    if (timer !== null || waiting() === 0) return;
    const since = [...running].flatMap((answer) => answer.since ?? []);
    if (since.length === 0) return;
    const left = Math.min(...since) + IDLE_MS - performance.now();
    timer = setTimeout(giveAway, Math.max(1, Math.ceil(left)));
  }

  function giveAway(): void {
    timer = null;
    const before = performance.now() - IDLE_MS;
    let most = waiting();
    for (const answer of running) {
      if (answer.since === null || answer.since > before || most-- <= 0) continue;
      running.delete(answer);
      away.add(answer);
    }
    fill();
  }

  /** Whether an answer should give its place to one that waits. */
  function interrupts({ used }: Answer): boolean {
    for (const { tokens } of newcomers) {
      if (used >= BEGUN && fits(tokens)) return true;
      break;
    }
    return interrupted.size > 0 && used >= SLICE && fits(0);
  }

  function wait(answer: Answer, line: Set<Answer>, signal?: AbortSignal): Promise<void> {
    if (closed) return Promise.reject(new RequestError("the model is closed"));
    if (signal?.aborted) return Promise.reject(abortReason(signal));
    return new Promise((resolve, reject) => {
      const stay = onAbort(signal, () => answer.refuse(abortReason(signal!)));
      answer.begin = () => {
        stay();
        resolve();
      };
      answer.refuse = (error) => {
        stay();
        line.delete(answer);
        reject(error);
      };
      line.add(answer);
      fill();
    });
  }

  function turnOf(answer: Answer): Turn {
    return {
      rest(tokens) {
        answer.used += tokens;
        answer.since = performance.now();
        watch();
      },
      async resume(signal) {
        answer.since = null;
        if (running.has(answer)) {
          if (!interrupts(answer)) return;
          running.delete(answer);
          fill(); // before it is among those that wait itself
        } else away.delete(answer);
        await wait(answer, interrupted, signal);
      },
      leave() {
        for (const place of [running, away, newcomers, interrupted]) place.delete(answer);
        fill();
      },
    };
  }

  return {
    get running() {
      return running.size;
    },
    get queued() {
      return queued();
    },
    async enter(signal, tokens = 0) {
      if (closed) throw new RequestError("the model is closed");
      if (signal?.aborted) throw abortReason(signal);
      const answer: Answer = { tokens, used: 0, since: null, begin() {}, refuse() {} };
      if (running.size < parallel) place(answer);
      else if (queued() < queue) await wait(answer, newcomers, signal);
      else {
        throw new BusyError(
          `${running.size} answers are being computed and ${queued()} requests wait, as many as may; try again in a moment`,
        );
      }
      return turnOf(answer);
    },
    close() {
      closed = true;
      if (timer !== null) clearTimeout(timer);
      for (const { refuse } of [...newcomers, ...interrupted]) refuse(new RequestError("the model is closed"));
    },
  };
}

/** The pieces of an answer, each computed while it has its turn. */
export async function* inTurns(pieces: AsyncIterable<Piece>, turn: Turn, signal?: AbortSignal): AsyncGenerator<Piece> {
  for await (const piece of pieces) {
    turn.rest(piece.ids.length);
    yield piece;
    if (!piece.finish) await turn.resume(signal);
  }
}
