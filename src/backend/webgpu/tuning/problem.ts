// One problem of the tuner: candidates that are set one after another, encoded as a step encodes
// them, compared and timed.

import type { Batch, Ops } from "../../ops.ts";
import type { Buffer, Device } from "../device/device.ts";
import type { Command } from "../dispatch/commands.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import type { Plans } from "../dispatch/plans.ts";
import type { Arithmetic } from "../dispatch/shader.ts";
import type { Form } from "./rows.ts";
import { type Choice, type Deadline, search } from "./search.ts";
import { Trial, type TrialContext } from "./trial.ts";
import type { Tuning } from "./tuning.ts";

/** What problems are solved with: the backend's own tools. */
export interface ProblemContext extends TrialContext {
  readonly device: Device;
  readonly encoder: StepEncoder;
  readonly plans: Plans;
  readonly tuning: Tuning;
  readonly software: boolean;
  readonly ops: Pick<Ops, "begin" | "createKv" | "maxTokens">;
}

/** The dispatches of a problem: each item reads weights of its own. */
export interface Work {
  readonly items: number;
  /** Items whose results are compared. */
  readonly compared: readonly number[];
  /** Encodes an item over the first n rows of the inputs; returns where its rows are. */
  encode(item: number, n: number): { readonly buffer: Buffer; readonly stride: number };
}

/** What a problem asks, of candidates T. */
export interface Question<T> {
  /** Its name in the store; kernels, formats, sizes and rows. */
  readonly key: string;
  readonly rows: number;
  readonly usual: T;
  readonly plain: T;
  readonly stages: readonly ((best: T) => readonly T[])[];
  /** A candidate in words, as messages have it. */
  text(candidate: T): string;
  /** Whether something stored is a candidate. */
  isOne(stored: unknown): boolean;
  set(candidate: T): void;
  /** What it multiplies in, for the tolerance. */
  arithmetic(candidate: T): Arithmetic;
  /** The form of products in which it is encoded. */
  form(candidate: T): Form;
  work(trial: Trial): Work;
}

/** What a problem's candidates took. */
export interface Solved {
  readonly key: string;
  readonly rows: number;
  readonly usual: string;
  readonly found: string;
  /** Milliseconds for all items; null where it was not timed. */
  readonly tried: readonly { readonly name: string; readonly ms: number | null }[];
  /** Bytes of weights that what was found reads; 0 where it was not timed. */
  readonly bytes: number;
}

export interface Problem {
  readonly key: string;
  /** Uses what was stored, if it is a candidate. */
  recall(stored: unknown): boolean;
  /**
   * Finds the best candidate and uses it.
   * @param skip takes the usual one unseen if time is over
   * @throws the deadline's signal's reason, DeviceError
   */
  solve(end: Deadline, skip: boolean): Promise<{ readonly solved: Solved; readonly found: unknown }>;
}

/** How many rows are compared. */
const COMPARED_ROWS = 16;
/** Largest NMSE against f32 reduced by a tree. */
const TOLERANCE: Readonly<Record<Arithmetic, number>> = { f32: 1e-8, f16: 1e-5, int8: 5e-4 };

export function problem<T>(context: ProblemContext, question: Question<T>): Problem {
  const { key, set } = question;
  return {
    key,
    recall(stored) {
      if (!question.isOne(stored)) return false;
      set(stored as T);
      return true;
    },
    async solve(end, skip) {
      const attempt = new Attempt(context, question);
      try {
        const unseen = { found: question.usual, timed: [] };
        const choice = skip && end.over ? unseen : await attempt.choose(end);
        set(choice.found);
        return { solved: attempt.report(choice), found: choice.found };
      } catch (error) {
        set(question.usual);
        throw error;
      } finally {
        attempt.free();
      }
    },
  };
}

class Attempt<T> {
  readonly #context: ProblemContext;
  readonly #question: Question<T>;
  readonly #trial: Trial;
  /** Bytes of weights that each candidate reads. */
  readonly #bytes = new Map<string, number>();

  constructor(context: ProblemContext, question: Question<T>) {
    this.#context = context;
    this.#question = question;
    this.#trial = new Trial(context, context.software);
  }

  async choose(end: Deadline): Promise<Choice<T>> {
    const { rows, usual, plain, stages, text, arithmetic } = this.#question;
    const trial = this.#trial;
    const work = this.#question.work(trial);
    const all = Array.from({ length: work.items }, (_, i) => i);
    const wanted = await trial.tried(`${text(plain)}, reduced by a tree`, () => this.#plainly(work));
    return search(
      {
        usual,
        plain,
        // a real driver compiles them side by side
        stages: stages.map((stage) => (best) => {
          const candidates = stage(best);
          if (!this.#context.software) for (const candidate of candidates) this.#encode(work, all, rows, candidate);
          return candidates;
        }),
        key: text,
        measure: (candidate, best, timed) =>
          trial.tried(text(candidate), async () => {
            const got = await this.#results(work, rows, (items) => this.#encode(work, items, rows, candidate));
            const right = (at: number): boolean =>
              trial.equal(text(candidate), got[at]!, wanted![at]!, TOLERANCE[arithmetic(candidate)]);
            if (wanted && !got.every((_, at) => right(at))) return null;
            if (!timed) return Number.MAX_VALUE;
            const commands = this.#encode(work, all, rows, candidate);
            const bytes = commands.reduce((sum, { call, n }) => sum + call.weights(n), 0);
            this.#bytes.set(text(candidate), bytes);
            return trial.time(commands, best);
          }),
      },
      end,
    );
  }

  report({ found, timed }: Choice<T>): Solved {
    const { key, rows, usual, text } = this.#question;
    const tried = timed.map(({ candidate, ms }) => ({ name: text(candidate), ms }));
    return { key, rows, usual: text(usual), found: text(found), tried, bytes: this.#bytes.get(text(found)) ?? 0 };
  }

  free(): void {
    this.#trial.free();
  }

  /** The results of what every device computes rightly: no subgroups, not even in a norm. */
  #plainly(work: Work): Promise<Float32Array[]> {
    const { tuning, encoder } = this.#context;
    const rows = Math.min(this.#question.rows, COMPARED_ROWS);
    return this.#results(work, rows, (items) => {
      const { reduce } = encoder;
      encoder.reduce = "tree";
      try {
        return tuning.plainly(() => this.#collect(work, items, rows));
      } finally {
        encoder.reduce = reduce;
      }
    });
  }

  /** The first rows of each item that is compared. */
  async #results(
    work: Work,
    n: number,
    encode: (items: readonly number[]) => readonly Command[],
  ): Promise<Float32Array[]> {
    const { encoder, device } = this.#context;
    const results: Float32Array[] = [];
    for (const item of work.compared) {
      const commands = encode([item]);
      const { buffer, stride } = this.#out;
      const rows = Math.min(n, COMPARED_ROWS);
      // products may be added to what is there
      device.gpu.queue.writeBuffer(buffer.gpu, 0, new Uint8Array(rows * stride * 4));
      for (const { call, n: over } of commands) encoder.dispatch(call, over);
      results.push(await this.#trial.rows(buffer, rows, stride));
    }
    return results;
  }

  #encode(work: Work, items: readonly number[], n: number, candidate: T): readonly Command[] {
    const { tuning } = this.#context;
    this.#question.set(candidate);
    return tuning.inForm(this.#question.form(candidate), () => this.#collect(work, items, n));
  }

  #out!: { readonly buffer: Buffer; readonly stride: number };

  #collect(work: Work, items: readonly number[], n: number): readonly Command[] {
    const { encoder, plans, ops } = this.#context;
    ops.begin(batchOf(n));
    plans.clear(); // they are of another candidate
    for (const item of items) this.#out = work.encode(item, n);
    return encoder.take();
  }
}

/** Positions of a block of the KV cache that problems append to. */
export const KV_BLOCK = 16;

/** The first n positions of a sequence. */
export function batchOf(n: number): Batch {
  const counted = Uint32Array.from({ length: n }, (_, i) => i);
  return {
    tokens: new Uint32Array(n),
    positions: counted,
    sequence: new Uint32Array(n),
    tables: [counted.slice(0, Math.ceil(n / KV_BLOCK))],
    outputs: new Uint32Array(0),
  };
}
