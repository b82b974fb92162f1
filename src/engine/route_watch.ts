// Watches routes of a running model: while there is a listener, each step's routes are copied to
// the host behind its commands; the step itself computes what it computes without one.

import type { Batch, Ops } from "../backend/ops.ts";
import type { RouteStep } from "../experts/trace.ts";
import type { RouteWatcher } from "../model/decoder.ts";
import type { Tensor } from "../tensor/types.ts";

/** A step that was watched. */
export interface WatchedStep extends RouteStep {
  /** Milliseconds from its begin, or from the end of the step before it, to its end. */
  readonly ms: number;
}

/** A listener to the routes of a model. */
export interface RouteListener {
  /** Called after each step that succeeded, in order. What it throws is dropped. */
  step(step: WatchedStep): void;
  /** The model closes: nothing follows. */
  closed?(): void;
}

export class RouteWatch {
  readonly #ops: Ops;
  readonly #layers: number;
  readonly #listeners = new Set<RouteListener>();
  /** The batch that "next" repeats. */
  batch: Batch | null = null;
  #ended = 0;
  #reported: Promise<void> = Promise.resolve();

  /** @param layers those that have experts */
  constructor(ops: Ops, layers: number) {
    this.#ops = ops;
    this.#layers = layers;
  }

  /** Whether there is a listener. */
  get on(): boolean {
    return this.#listeners.size > 0;
  }

  /** Returns a function that removes the listener. */
  add(listener: RouteListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Tells listeners that nothing follows, and removes them. */
  close(): void {
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const listener of listeners) listener.closed?.();
  }

  /**
   * Computes a step whose results are `results(out)`, and its routes for the listeners. `ends`
   * resolves with the results.
   */
  async step<T>(
    batch: Batch | "next",
    forward: (batch: Batch | "next", watch: RouteWatcher) => Promise<Tensor>,
    results: (out: Tensor) => Promise<T>,
  ): Promise<{ readonly ends: Promise<T> }> {
    const { tokens, tables } = batch === "next" ? this.batch! : batch;
    const began = performance.now();
    const reads: (Promise<Uint32Array> | undefined)[] = Array.from({ length: this.#layers });
    const out = await forward(batch, async (layer, { ids }) => {
      const read = this.#ops.read(ids).then((row) => Uint32Array.from(row));
      reads[layer] = read;
      read.catch(() => {}); // the step fails with the same error
      // Where reading is expensive, the copy is behind the commands so far, and nothing waits.
      if (!this.#ops.choosing) await read;
    });
    const ends = results(out);
    const size = { tokens: tokens.length, sequences: tables.length };
    this.#reported = this.#report(this.#reported, ends, reads, began, size);
    return { ends };
  }

  /** Tells the listeners of a step that was traced for another reason. */
  tell(step: RouteStep, ms: number): void {
    for (const listener of this.#listeners) {
      try {
        listener.step({ ...step, ms });
      } catch {
        // A page that watches must not end what it watches.
      }
    }
  }

  async #report(
    before: Promise<void>,
    ends: Promise<unknown>,
    reads: readonly (Promise<Uint32Array> | undefined)[],
    began: number,
    size: Pick<RouteStep, "tokens" | "sequences">,
  ): Promise<void> {
    try {
      await ends;
      const read = performance.now();
      // A step without outputs ends before the last layer's experts: that list stays empty.
      const layers = await Promise.all(reads.map((ids) => ids ?? new Uint32Array(0)));
      await before;
      // Results of steps that run ahead may arrive in another order than the steps end.
      const ended = Math.max(read, this.#ended);
      const ms = ended - Math.max(began, this.#ended);
      this.#ended = ended;
      this.tell({ ...size, layers }, ms);
    } catch {
      await before; // the step failed: its callers are told
    }
  }
}
