// A backend without arithmetic for tests of the engine: its model's next token follows from the ids
// that its KV cache holds, so that a wrong block, position or token gives other tokens. A
// test controls when, and in which order, ids come back.

import { expect } from "vitest";
import { type Batch, type Chooser, type ChooserSettings, type KvStore, UNDECIDED } from "../../src/backend/ops.ts";
import type { RopeLengths } from "../../src/backend/rope.ts";
import type { GenerateOptions, SamplingOptions, Session } from "../../src/engine/api.ts";
import { Claim } from "../../src/engine/claim.ts";
import { createBlockPool } from "../../src/engine/kv.ts";
import { createRoom } from "../../src/engine/room.ts";
import { createSession } from "../../src/engine/session.ts";
import type { Speculation } from "../../src/engine/speculation.ts";
import { createStepper, type Runner } from "../../src/engine/stepper.ts";
import { MemoryError } from "../../src/errors.ts";
import { turn } from "../../src/turn.ts";
import { FakePanes, type OfBlocks } from "./fake_panes.ts";

export const VOCAB = 16;
export const EOS = 0;

/** Logits [V] after a history: whole numbers below 1000, each from the ids and their places. */
export function logitsAfter(history: readonly number[]): Float32Array {
  let hash = history.length;
  for (const id of history) hash = Math.imul(hash ^ (id + 0x9e3779b9), 0x85ebca6b) ^ (hash >>> 15);
  return Float32Array.from({ length: VOCAB }, (_, i) => (Math.imul(hash ^ (i * 0x27d4eb2f), 0x165667b1) >>> 8) % 1000);
}

interface FakeChooser extends Chooser {
  readonly settings: ChooserSettings;
  readonly counts: Map<number, number>;
  /** The most steps in flight. */
  busy: number;
}

type Penalties = Pick<ChooserSettings, "frequencyPenalty" | "presencePenalty" | "counts" | "logitBias">;

/**
 * The greedy choice with biases, frequency and presence penalties: exact, as all is whole numbers.
 */
function choice(logits: Float32Array, s: Penalties) {
  const work = Float32Array.from(logits, (x, id) => {
    const count = s.counts.get(id) ?? 0;
    const biased = x + (s.logitBias.get(id) ?? 0);
    return count > 0 ? biased - s.frequencyPenalty * count - s.presencePenalty : biased;
  });
  return work.indexOf(Math.max(...work));
}

/**
 * The ids of greedy decoding after `prompt`, up to `count`, EOS included.
 */
export function expected(prompt: readonly number[], count: number, o: SamplingOptions = {}, ends = true): number[] {
  const ids: number[] = [];
  const counts = new Map<number, number>();
  while (ids.length < count && !(ends && ids.at(-1) === EOS)) {
    const logitBias = new Map(Object.entries(o.logitBias ?? {}).map(([key, bias]) => [Number(key), bias]));
    const s = { frequencyPenalty: o.frequencyPenalty ?? 0, presencePenalty: o.presencePenalty ?? 0, counts, logitBias };
    const id = choice(logitsAfter([...prompt, ...ids]), s);
    counts.set(id, (counts.get(id) ?? 0) + 1);
    ids.push(id);
  }
  return ids;
}

export interface FakeOptions {
  /** Tokens a step; default 8. */
  readonly maxTokens?: number;
  /** Tokens of a prompt that a step should take from a position on; default `maxTokens`. */
  readonly chunk?: (position: number, alone: boolean) => number;
  /** Blocks of 4 positions that the budget has room for, or panes as well; default 1000. */
  readonly blocks?: number;
  /** Positions that a layer sees which keeps panes; absent: there is none. */
  readonly window?: number;
  /** Bytes of a block, of 100; 0: all layers have panes. */
  readonly blockBytes?: number;
  /** Blocks that the store can have, whatever the budget says. */
  readonly storeBlocks?: number;
  /** False: a backend that only gives logits. */
  readonly chooses?: boolean;
  /** Logits [V] after a history; default logitsAfter(). */
  readonly logits?: (history: readonly number[]) => Float32Array;
  /** Drafts for sessions' generations; default: none. */
  readonly speculate?: () => Speculation;
  /**
   * How keys depend on the length of the text: the cache then holds each id plus 1000 times the
   * key of the length by which its position turned.
   */
  readonly lengths?: RopeLengths;
  /** Slots of states: what the model sees is then what a sequence's slot has taken in. */
  readonly states?: number;
  /** Whether the host has to choose what follows this history. */
  readonly undecided?: (history: readonly number[]) => boolean;
  /**
   * Resolves when the ids of a step may arrive; `step` counts from 0. Default: some turns later.
   */
  readonly late?: (step: number) => Promise<void>;
  /** An error of a step: before it is submitted, or instead of its ids. */
  readonly fails?: (step: number) => { readonly at: "submit" | "ids"; readonly error: Error } | null;
}

/** One line of what the backend was asked; of a chain all tokens are outputs. */
export interface Asked {
  readonly how: "begin" | "next" | "logits" | "chain";
  /** Tokens of the step; of "next" the ids chosen before. */
  readonly tokens: readonly number[];
  readonly positions: readonly number[];
}

export function fakeBackend(options: FakeOptions = {}) {
  const { maxTokens = 8, undecided = () => false, late = () => settle(6), fails = () => null } = options;
  const { logits = logitsAfter } = options;
  const asked: Asked[] = [];
  const choosers = new Set<FakeChooser>(); // open ones
  const created: ChooserSettings[] = [];
  const reserved: number[] = [];
  const memory: number[][] = [];
  const panes = options.window === undefined ? null : new FakePanes(options.window, () => quiet("reserve() of panes"));
  let blocks = 0;
  let inFlight = 0;
  let most = 0;
  let steps = 0;
  let spoiled: (logits: Float32Array) => void = () => {};
  /** The step that "next" continues, on the device. */
  let last: { batch: Batch; ids: readonly number[]; panes: OfBlocks | undefined } | null = null;

  const quiet = (what: string): void => {
    if (inFlight > 0) throw new Error(`${what} while ${inFlight} steps are in flight`);
  };
  const slots: number[][] = [];
  /** Slots that steps in flight write to, once for each step. */
  const written: number[] = [];
  const store: KvStore = {
    ...(options.states !== undefined && {
      states: {
        ...{ slots: options.states, slotBytes: 4 },
        reserve: async () => {},
        copy(from, to) {
          if (written.includes(from) || written.includes(to)) throw new Error("copy() of a slot that a step uses");
          slots[to] = [...slots[from]!];
        },
        read: async () => new Uint8Array(4),
        write: async () => {},
        close() {},
      },
    }),
    blockSize: 4,
    precision: "f32",
    blockBytes: options.blockBytes ?? 100,
    get blocks() {
      return blocks;
    },
    ...(panes && { panes: panes.store }),
    async reserve(n) {
      quiet("reserve()");
      reserved.push(n);
      await turn();
      if (n > (options.storeBlocks ?? Number.POSITIVE_INFINITY))
        throw new MemoryError(`the device has no room for ${n} blocks`);
      blocks = Math.max(blocks, n);
    },
    readBlock: async (id) => Uint8Array.from(memory[id]!),
    async writeBlock(id, bytes) {
      memory[id] = [...bytes];
    },
    close() {},
  };

  /** Writes the batch's tokens to the cache; the history that each output row sees. */
  function compute(batch: Batch, own = panes?.ofBlocks): number[][] {
    const tables = batch.tables.flatMap((table) => [...table]);
    for (const [t, position] of batch.positions.entries()) {
      const written = batch.tables[batch.sequence[t]!]![Math.floor(position / 4)];
      if (tables.filter((id) => id === written).length > 1) throw new Error("a sequence writes to another's block");
    }
    if (tables.some((id) => id >= blocks)) throw new Error("a block that does not exist");
    const place = (t: number, position: number): [number, number] => {
      const id = batch.tables[batch.sequence[t]!]![Math.floor(position / 4)];
      if (id === undefined) throw new Error(`position ${position} is past the block table`);
      return [id, position % 4];
    };
    for (const [t, token] of batch.tokens.entries()) {
      const [block, at] = place(t, batch.positions[t]!);
      memory[block] ??= [];
      const length = Math.max(batch.anchors![batch.sequence[t]!]!, batch.positions[t]! + 1);
      memory[block][at] = token + 1000 * (options.lengths?.key(length) ?? 0);
      if (options.states !== undefined) takeIn(batch, t);
    }
    if (own) panes!.look(batch, own, memory);
    const seen = (row: number): number[] =>
      Array.from({ length: batch.positions[row]! + 1 }, (_, position) => {
        const [block, at] = place(row, position);
        return memory[block]![at]!;
      });
    const held = (row: number): number[] => [...slots[batch.states![batch.sequence[row]!]!]!];
    return [...batch.outputs].map(options.states === undefined ? seen : held);
  }

  /** A sequence's states take in a token. */
  function takeIn({ tokens, positions, sequence, states }: Batch, t: number): void {
    const [slot, position] = [states![sequence[t]!]!, positions[t]!];
    if (position === 0) slots[slot] = [];
    const taken = slots[slot]!.push(tokens[t]!);
    if (taken !== position + 1) throw new Error(`states of ${taken - 1} positions take in position ${position}`);
  }

  function note(how: Asked["how"], batch: Batch): void {
    if (batch.tokens.length > maxTokens) throw new Error(`${batch.tokens.length} tokens in a step of ${maxTokens}`);
    asked.push({ how, tokens: [...batch.tokens], positions: [...batch.positions] });
  }

  function following(): Batch {
    if (last === null) throw new Error("next without a batch");
    const { batch, ids } = last;
    if (batch.tokens.length !== batch.tables.length || batch.outputs.length !== batch.tokens.length)
      throw new Error("next after a batch that was not one token of each sequence");
    return { ...batch, tokens: Uint32Array.from(ids), positions: batch.positions.map((p) => p + 1) };
  }

  const choosing: NonNullable<Runner["choosing"]> = {
    ahead: true,
    create(settings) {
      if (settings.topK === 1) return null; // stands for whatever only the host honours
      created.push(settings);
      const chooser: FakeChooser = {
        settings,
        counts: new Map(settings.counts),
        busy: 0,
        close: () => {
          if (chooser.busy > 0) throw new Error("a chooser was closed while it chooses");
          if (!choosers.delete(chooser)) throw new Error("a chooser was closed twice");
        },
      };
      choosers.add(chooser);
      return chooser;
    },
    async submit(what) {
      const step = steps++;
      const failure = fails(step);
      if (failure?.at === "submit") throw failure.error;
      if (what !== "next") quiet("begin()");
      const batch = what === "next" ? following() : what;
      note(what === "next" ? "next" : batch.chain ? "chain" : "begin", batch);
      const own = what === "next" ? last!.panes : panes?.ofBlocks;
      const histories = compute(batch, own);
      const ids: number[] = [];
      for (const [row, history] of histories.entries()) {
        const chooser = batch.choosers![row] as FakeChooser;
        if (!choosers.has(chooser)) throw new Error("a closed chooser");
        const astray = batch.chain === true && row > 0 && ids[row - 1] !== batch.tokens[row];
        if (undecided(history) || astray) {
          ids.push(UNDECIDED);
          continue;
        }
        const id = choice(logits(history), { ...chooser.settings, counts: chooser.counts });
        chooser.counts.set(id, (chooser.counts.get(id) ?? 0) + 1);
        ids.push(id);
      }
      last = { batch, ids, panes: own };
      const taking = [...(batch.choosers as readonly FakeChooser[])];
      for (const chooser of taking) chooser.busy++;
      const states = [...(batch.states ?? [])];
      written.push(...states);
      most = Math.max(most, ++inFlight);
      const arriving = late(step).then(() => {
        inFlight--;
        for (const chooser of taking) chooser.busy--;
        for (const slot of states) written.splice(written.indexOf(slot), 1);
        if (failure) throw failure.error;
        return Uint32Array.from(ids);
      });
      return { ids: arriving };
    },
  };
  const runner: Runner = {
    ...(options.chunk && { chunk: options.chunk }),
    async logits(batch) {
      quiet("a step for logits");
      last = null;
      const failure = fails(steps++);
      note("logits", batch);
      await turn();
      if (failure) throw failure.error;
      const rows = Float32Array.from(compute(batch).flatMap((history) => [...logits(history)]));
      spoiled(rows);
      return rows;
    },
    ...(options.chooses === false ? {} : { choosing }),
  };
  const pool = createBlockPool(store, (options.blocks ?? 1000) * 100, maxTokens);
  const room = createRoom(pool);
  const stepper = createStepper(runner, room, maxTokens, VOCAB);

  return {
    stepper,
    /** Replaces what a step for logits computes. */
    spoil(how: (logits: Float32Array) => void) {
      spoiled = how;
    },
    choosing,
    pool,
    room,
    store,
    asked,
    created,
    reserved,
    choosers,
    /** How the steps were begun, a letter each: b(egin), n(ext), l(ogits), c(hain). */
    get shape() {
      return asked.map(({ how }) => how[0]).join("");
    },
    /** Most steps that were in flight at once. */
    get most() {
      return most;
    },
    get inFlight() {
      return inFlight;
    },
    session(context = 200): Session {
      const letters = (id: number) => String.fromCharCode(97 + id);
      return createSession({
        stepper,
        room,
        text: {
          encode: (text) => [...text].map((c) => c.charCodeAt(0) - 97),
          plain: (text) => [...text].map((c) => c.charCodeAt(0) - 97),
          control: () => null,
          stream: () => ({ push: letters, end: () => "" }),
          piece: (id) => ({ text: letters(id), bytes: [97 + id] }),
        },
        vocab: VOCAB,
        context,
        lengths: options.lengths ?? null,
        ...(options.speculate && { speculate: options.speculate }),
        eos: new Set([EOS]),
        sampling: {},
        save: async (tokens) => Uint8Array.from(tokens),
        onClose() {},
      });
    },
  };
}
export type FakeBackend = ReturnType<typeof fakeBackend>;

let arrivals = 0;

/** A sequence that may take blocks, younger than those before it. */
export function admitted(): Claim {
  return Object.assign(new Claim(), { order: ++arrivals, limit: 1000, admitted: true, asked: true });
}

/** Lets everything happen that can happen by itself. */
export async function settle(turns = 50): Promise<void> {
  for (let i = 0; i < turns; i++) await turn();
}

/** Holds the ids of steps back until a test lets them go, in any order. */
export function gate() {
  const doors: { open: () => void; opened: Promise<void> }[] = [];
  const door = (step: number) => {
    while (doors.length <= step) {
      let open = (): void => {};
      const opened = new Promise<void>((resolve) => {
        open = resolve;
      });
      doors.push({ open, opened });
    }
    return doors[step]!;
  };
  return { late: (step: number) => door(step).opened, open: (step: number) => door(step).open() };
}

/** Greedy, on past EOS. */
export const on = (maxTokens: number): GenerateOptions => ({ maxTokens, ignoreEos: true });

/** What those options give after `prompt`. */
export const greedy = (prompt: readonly number[], count: number) => expected(prompt, count, {}, false);

/** Checks that a backend holds nothing any more except `blocks` blocks. */
export async function expectIdle(backend: FakeBackend, blocks: number): Promise<void> {
  await settle();
  expect(backend.inFlight).toBe(0);
  expect(backend.choosers.size).toBe(0);
  const { store, pool } = backend;
  const had = store.blocks;
  const { free, cached } = pool.usage();
  expect(had - free - cached).toBe(blocks);
  const rest: number[] = [];
  const { windows } = pool;
  if (blocks === 0) expect(windows?.available(null)).toBe(windows?.most); // and no pane
  const some = Math.min(free, windows?.available(null) ?? free);
  await pool.grow(rest, 4 * some);
  expect([new Set(rest).size, store.blocks]).toEqual([some, had]); // no block is lost
  pool.shrink(rest, 0);
}
