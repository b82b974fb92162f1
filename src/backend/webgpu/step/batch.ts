// The step's batch on the device: how many rows, what each token is, the block tables, the angles
// of RoPE.

import { ropeTurns } from "../../../../kernels/rope.ts";
import { RequestError } from "../../../errors.ts";
import type { Batch } from "../../ops.ts";
import { anchored, frequenciesOf, type Rope } from "../../rope.ts";
import type { Buffer, Device } from "../device/device.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import type { Cache, GpuKv } from "./kv.ts";

/** Which rows a tensor has: all T tokens of the batch, or the R output rows. */
export type RowKind = "tokens" | "outputs";

export class StepBatch {
  readonly counts: Readonly<Record<RowKind, Buffer>>; // uniforms
  readonly outputs: Buffer; // [R]
  /**
   * [T] of Token (kernels/lib/token.wgsl), room for the largest batch; then of each sequence what
   * its positions lack to be rows of angles, and its block ids.
   */
  words: Buffer;
  batch: Batch | null = null;
  /** The same for layers whose tables name panes, and the batch that its tokens are of. */
  #windowed: { readonly buffer: Buffer; batch: Batch | null } | null = null;
  /** The batch that begin() was given last, and its words: tokens, then tables. */
  #begun: { readonly batch: Batch; readonly tokens: Uint32Array<ArrayBuffer>; readonly blocks: Uint32Array } | null =
    null;
  readonly #device: Device;
  readonly #encoder: StepEncoder;
  readonly #maxTokens: number;
  readonly #runs = new Map<number, { buffer: Buffer; count: number }>(); // count 0: not of this batch
  readonly #angles = new Map<Rope, Angles>();
  #longest = 1024; // positions that tables of angles have rows for
  #anchored = false; // tokens of the batch turn as in longer texts: by rows of their own
  /**
   * Whether every token is an output of its own sequence and has a chooser: the one chosen takes
   * its place.
   */
  #advances = false;
  #chosen = false;
  /** Whether each token is of a sequence of its own. */
  apart = false;

  constructor(device: Device, encoder: StepEncoder, maxTokens: number) {
    this.#device = device;
    this.#encoder = encoder;
    this.#maxTokens = maxTokens;
    this.counts = {
      tokens: device.buffer("batch: T", 16, "scratch", "uniform"),
      outputs: device.buffer("batch: R", 16, "scratch", "uniform"),
    };
    this.outputs = device.buffer("batch: outputs", maxTokens * 4, "scratch", "storage");
    this.words = device.buffer("batch: tokens and block tables", maxTokens * 16 + 4096, "scratch", "storage");
  }

  /**
   * Writes the batch. Returns true if buffers were replaced.
   * @param choosers gives the entry of each output row's chooser, if the batch has choosers
   * @throws RequestError if it is not one
   */
  begin(batch: Batch, choosers: (batch: Batch) => Uint32Array | null): boolean {
    checkBatch(batch, this.#maxTokens);
    const entries = choosers(batch);
    const { queue } = this.#device.gpu;
    const tables = 4 * this.#maxTokens;
    const starts: number[] = [];
    let end = tables;
    for (const table of batch.tables) {
      starts.push(end + 1);
      end += 1 + table.length;
    }
    const grown = end * 4 > this.words.size;
    if (grown) {
      this.words = this.#grown(this.words, end * 8);
      if (this.#windowed) this.#windowed = { buffer: this.#grown(this.#windowed.buffer, end * 8), batch: null };
    }
    const blocks = new Uint32Array(end - tables);
    const shifts = this.#shifts(batch);
    for (const [b, table] of batch.tables.entries()) {
      blocks[starts[b]! - tables - 1] = shifts[b]!;
      blocks.set(table, starts[b]! - tables);
    }
    const tokens = new Uint32Array(batch.tokens.length * 4);
    for (let t = 0; t < batch.tokens.length; t++) {
      tokens[4 * t] = batch.tokens[t]!;
      tokens[4 * t + 1] = batch.positions[t]!;
      tokens[4 * t + 2] = starts[batch.sequence[t]!]!;
    }
    for (const [row, t] of batch.outputs.entries()) tokens[4 * t + 3] = entries?.[row] ?? 0;
    const T = batch.tokens.length;
    this.apart = new Set(batch.sequence).size === T;
    const single = batch.outputs.every((t, row) => t === row) && this.apart;
    this.#advances = entries !== null && batch.outputs.length === T && single;
    this.#chosen = false;
    queue.writeBuffer(this.counts.tokens.gpu, 0, Uint32Array.of(T));
    const advance = batch.chain ? 2 : this.#advances ? 1 : 0;
    queue.writeBuffer(this.counts.outputs.gpu, 0, Uint32Array.of(batch.outputs.length, advance));
    queue.writeBuffer(this.words.gpu, 0, tokens);
    if (blocks.length > 0) queue.writeBuffer(this.words.gpu, tables * 4, blocks);
    if (batch.outputs.length > 0) queue.writeBuffer(this.outputs.gpu, 0, new Uint32Array(batch.outputs));
    for (const runs of this.#runs.values()) runs.count = 0;
    this.batch = batch;
    this.#begun = { batch, tokens, blocks };
    return grown;
  }

  #grown(buffer: Buffer, bytes: number): Buffer {
    this.#encoder.forget(buffer);
    this.#device.free(buffer);
    return this.#device.buffer("batch: tokens and block tables", bytes, "scratch", "storage");
  }

  /** A layer of a store, with the tables of its places. */
  cache(store: GpuKv, index: number, batch: Batch): Cache {
    const layer = store.layer(index, batch);
    return { store, words: layer.windowed ? this.#windowedWords(store) : null, ...layer };
  }

  /**
   * `words` with the panes of blocks in the tables, in place of the blocks. Tokens that the device
   * has chosen are copied there by a dispatch of the step.
   */
  #windowedWords(kv: GpuKv): Buffer {
    this.#windowed ??= { buffer: this.#empty(), batch: null };
    const windowed = this.#windowed;
    if (windowed.batch === this.batch) return windowed.buffer;
    windowed.batch = this.batch;
    const { batch, tokens, blocks } = this.#begun!;
    if (batch === this.batch) {
      const panes = blocks.slice();
      let at = 0;
      for (const table of batch.tables) {
        panes.set(kv.panesOf(table), at + 1);
        at += 1 + table.length;
      }
      const { queue } = this.#device.gpu;
      queue.writeBuffer(windowed.buffer.gpu, 0, tokens);
      queue.writeBuffer(windowed.buffer.gpu, 16 * this.#maxTokens, panes);
    } else {
      const params = { vectors: this.#maxTokens };
      const buffers = { x: this.words, y: windowed.buffer };
      this.#encoder.dispatch(this.#encoder.call("copy", { params, buffers }), this.#maxTokens);
    }
    return windowed.buffer;
  }

  #empty(): Buffer {
    return this.#device.buffer("batch: tokens and panes", this.words.size, "scratch", "storage");
  }

  /** Ends the step with the choice of its next tokens. @throws RequestError the second time */
  choose(): void {
    if (this.#chosen) throw new RequestError("the step's tokens are chosen already: begin() the next one");
    this.#chosen = true;
  }

  /**
   * Goes on to the tokens that the device has chosen, and put in place of the last ones.
   * @throws RequestError
   */
  next(): void {
    const { batch } = this;
    if (!batch || !this.#chosen || !this.#advances) {
      throw new RequestError(
        'begin("next") goes on from a step that ended in choose(), and had one token of each sequence, all of them outputs',
      );
    }
    if (this.#anchored) throw new RequestError('begin("next") follows steps at the end of a text, not within a prompt');
    this.#chosen = false;
    // Which tokens they are is not known here: 0 stands for any.
    const positions = batch.positions.map((position) => position + 1);
    this.batch = { ...batch, tokens: new Uint32Array(batch.tokens.length), positions };
    this.#reach(positions);
  }

  /**
   * The batch cut into runs of at most `longest` tokens that follow each other in one sequence, as
   * (first, count). Example, longest 2: positions [5, 6, 7, 31] of sequences [0, 0, 0, 1] -> (0, 2)
   * (2, 1) (3, 1).
   */
  runs(longest: number): { readonly buffer: Buffer; readonly count: number } {
    let runs = this.#runs.get(longest);
    if (!runs) {
      const buffer = this.#device.buffer("batch: runs", this.#maxTokens * 8, "scratch", "storage");
      runs = { buffer, count: 0 };
      this.#runs.set(longest, runs);
    }
    if (runs.count === 0) {
      const { positions, sequence } = this.batch!;
      const list: number[] = [];
      let first = 0;
      for (let t = 1; t <= positions.length; t++) {
        const follows = sequence[t] === sequence[t - 1] && positions[t] === positions[t - 1]! + 1;
        if (follows && t - first < longest) continue;
        list.push(first, t - first);
        first = t;
      }
      this.#device.gpu.queue.writeBuffer(runs.buffer.gpu, 0, Uint32Array.from(list));
      runs.count = list.length / 2;
    }
    return runs;
  }

  /** Tables of angles that are used from now on have rows for these positions. */
  #reach(positions: Uint32Array): void {
    const last = positions.reduce((max, position) => Math.max(max, position), 0);
    if (last >= this.#longest) this.#longest = Math.max(last + 1, Math.min(2 * this.#longest, 2 ** 20));
  }

  /** Makes the tables of angles that are to come long enough for sequences of so many positions. */
  expect(positions: number): void {
    this.#longest = Math.max(this.#longest, positions);
  }

  /**
   * cos and sin [rows, rd / 2]: rows of every position that the batch may have, as in a text that
   * ends there, computed once; then rows of the tokens of the batch, if some turn otherwise.
   */
  angles(rope: Rope): Buffer {
    const own = this.#anchored || rope.lengths !== undefined;
    const rows = this.#longest + (own ? this.#maxTokens : 0);
    let known = this.#angles.get(rope);
    if (!known || known.rows < rows || known.positions < this.#longest) {
      if (known) {
        this.#encoder.forget(known.buffer);
        this.#device.free(known.buffer);
      }
      known = this.#table(rope, rows);
      this.#angles.set(rope, known);
    }
    if (this.#anchored && known.batch !== this.batch) this.#ownRows(rope, known.buffer);
    known.batch = this.batch;
    return known.buffer;
  }

  #table(rope: Rope, rows: number): Angles {
    const positions = this.#longest;
    const turns = new Float32Array(positions * rope.inverse.length * 2);
    for (let p = 0; p < positions; p++) ropeTurns(p, rope.lengths?.at(p + 1) ?? rope, turns, p);
    const buffer = this.#device.buffer("RoPE angles", (turns.byteLength / positions) * rows, "scratch", "storage");
    this.#device.gpu.queue.writeBuffer(buffer.gpu, 0, turns);
    return { buffer, rows, positions, batch: null };
  }

  /** Writes the rows of the batch's own tokens, behind those of positions. */
  #ownRows(rope: Rope, buffer: Buffer): void {
    const batch = this.batch!;
    const row = rope.inverse.length * 2;
    const turns = new Float32Array(batch.positions.length * row);
    for (const [t, position] of batch.positions.entries()) ropeTurns(position, frequenciesOf(rope, batch, t), turns, t);
    this.#device.gpu.queue.writeBuffer(buffer.gpu, this.#longest * row * 4, turns);
  }

  /**
   * What the positions of each sequence lack to be rows of angles: nothing, or, where some turn as
   * in a longer text, what leads to the rows of the batch's tokens.
   */
  #shifts(batch: Batch): Uint32Array {
    const { positions, sequence } = batch;
    this.#reach(positions);
    const shifts = new Uint32Array(batch.tables.length);
    for (let t = 0; t < positions.length; t++)
      if (anchored(batch, t) && shifts[sequence[t]!] === 0) shifts[sequence[t]!] = this.#longest + t - positions[t]!;
    this.#anchored = shifts.some((shift) => shift > 0);
    const astray = positions.findIndex((position, t) => {
      const shift = shifts[sequence[t]!]!;
      return shift > 0 && shift !== (this.#longest + t - position) >>> 0;
    });
    if (astray >= 0)
      throw new RequestError(`batch: token ${astray} does not follow the one before it, as a prompt's tokens must`);
    return shifts;
  }
}

/** A table of angles on the device. */
interface Angles {
  readonly buffer: Buffer;
  readonly rows: number;
  /** Rows that stand for positions. */
  readonly positions: number;
  /** Whose tokens have rows of their own. */
  batch: Batch | null;
}

function checkBatch({ tokens, positions, sequence, tables, outputs }: Batch, maxTokens: number): void {
  const T = tokens.length;
  if (T < 1 || T > maxTokens) throw new RequestError(`a batch holds 1 to ${maxTokens} tokens, this one has ${T}`);
  if (positions.length !== T || sequence.length !== T) {
    throw new RequestError(
      `a batch of ${T} tokens needs as many positions and sequences, found ${positions.length} and ${sequence.length}`,
    );
  }
  const stray = sequence.find((s) => s >= tables.length);
  if (stray !== undefined)
    throw new RequestError(`batch: sequence ${stray} has no block table; there are ${tables.length}`);
  const past = outputs.find((row) => row >= T);
  if (past !== undefined || outputs.length > T) {
    throw new RequestError(`batch: outputs must be rows below ${T}, each at most once, found [${outputs.slice(0, 8)}]`);
  }
}
