// Choosing tokens on the device: what choosers remember lies in two buffers that all share; two
// dispatches end a step.

import { RequestError } from "../../../errors.ts";
import type { Tensor } from "../../../tensor/types.ts";
import { type Batch, type Chooser, type ChooserSettings, type Choosing, RANKED } from "../../ops.ts";
import type { Device } from "../device/device.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import { Places } from "../dispatch/places.ts";
import type { StepBatch } from "./batch.ts";
import type { GpuTensor, Scratch } from "./scratch.ts";

const SLICE = 2048; // tokens that one workgroup reads: kernels/lib/choose/slice.wgsl
const SLICE_WORDS = 4; // of a Slice there
const HEADER = 16; // words of a Chooser in kernels/lib/choose/chooser.wgsl
const HEADERS = 64; // choosers that there is room for at first
const NO_TABLE = 0xffffffff;

/** A chooser's place on the device. */
interface Entry extends Chooser {
  readonly owner: GpuChoosing;
  readonly index: number;
  readonly vocab: number;
  readonly greedy: boolean;
  readonly closed: boolean;
  /** Keeps its place for a step that was begun with it, whether or not it is closed meanwhile. */
  hold(): void;
  release(): void;
}

interface Parts {
  readonly device: Device;
  readonly encoder: StepEncoder;
  readonly step: StepBatch;
  readonly scratch: Scratch;
  /** The tensor behind a handle, all that it depends on encoded. */
  readonly given: (x: Tensor) => GpuTensor;
}

export class GpuChoosing implements Choosing {
  readonly #parts: Parts;
  readonly #headers: Places;
  readonly #tables: Places;
  #current: readonly Entry[] | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#headers = new Places(parts.device, parts.encoder, "choosers", HEADERS * HEADER);
    this.#tables = new Places(parts.device, parts.encoder, "choosers: biases and history", 0);
  }

  create(settings: ChooserSettings): Chooser | null {
    this.#parts.device.check();
    const greedy = settings.temperature === 0;
    if (!greedy && (settings.topK > RANKED || settings.temperature < 1e-30)) return null; // its inverse is an f32
    for (const bias of settings.logitBias.values()) if (!Number.isFinite(Math.fround(bias))) return null;

    const [headers, tables] = [this.#headers, this.#tables];
    const table = tableOf(settings);
    const tableAt = table ? tables.take(table) : NO_TABLE;
    const at = headers.take(headerOf(settings, tableAt));
    let closed = false;
    let holds = 0;
    const freeUnheld = (): void => {
      if (!closed || holds > 0) return;
      headers.free(at, HEADER);
      if (table) tables.free(tableAt, table.length);
    };
    const entry: Entry = {
      owner: this,
      index: at / HEADER,
      vocab: settings.vocab,
      greedy,
      get closed() {
        return closed;
      },
      hold() {
        holds++;
      },
      release() {
        holds--;
        freeUnheld();
      },
      close() {
        if (closed) return;
        closed = true;
        freeUnheld();
      },
    };
    return entry;
  }

  /**
   * Takes a batch's choosers for the step that begins: the entry of each output row.
   * @throws RequestError
   */
  begin({ choosers, outputs, chain = false }: Batch): Uint32Array | null {
    const entries = choosers && ([...choosers] as Entry[]); // the caller may use its list again
    if (entries) {
      const own = new Set(entries).size;
      if (entries.length !== outputs.length || own !== (chain ? 1 : entries.length)) {
        throw new RequestError(
          `batch: ${outputs.length} output rows need as many choosers, ${chain ? "all the same" : "each its own"}; found ${entries.length}, ${own} of them different`,
        );
      }
      const row = entries.findIndex((entry) => entry.owner !== this || entry.closed);
      if (row >= 0) throw new RequestError(`batch: the chooser of output row ${row} is closed, or of another backend`);
    }
    for (const entry of entries ?? []) entry.hold();
    for (const entry of this.#current ?? []) entry.release();
    this.#current = entries ?? null;
    return entries ? Uint32Array.from(entries, (entry) => entry.index) : null;
  }

  async choose(logits: Tensor): Promise<Uint32Array> {
    const { device, encoder, step, scratch, given } = this.#parts;
    device.check();
    const from = given(logits);
    const [R, V] = from.shape;
    const entries = this.#current;
    if (!entries || entries.length !== R || entries.some(({ vocab }) => vocab !== V)) {
      throw new RequestError(
        `choose: logits [${from.shape}] need a batch with a chooser for each row, over a vocabulary of ${V}`,
      );
    }
    step.choose();
    const count = step.counts.outputs;
    const { outputs, words } = step;
    const places = { choosers: this.#headers.buffer, tables: this.#tables.buffer };
    const slicesPerRow = Math.ceil(V / SLICE);
    const ids = scratch.storage("chosen tokens", R, 1, "outputs");
    const slices = scratch.storage("slices of logits", R, slicesPerRow * SLICE_WORDS, "outputs");
    const greedy = entries.every((entry) => entry.greedy);
    const ranked = greedy ? null : scratch.storage("ranked tokens", R, slicesPerRow * RANKED * 2, "outputs");
    const buffers = {
      count,
      step: words,
      outputs,
      ...places,
      logits: from.buffer,
      slices,
      ids,
      ...(ranked && { ranked }),
    };
    // Rows of a chain one after the other: penalties and random numbers follow from those before.
    const [times, rows] = step.batch?.chain ? [R, 1] : [Math.min(R, 1), R];
    for (let first = 0; first < times; first++) {
      const params = { V, stride: from.stride, slices: slicesPerRow, first };
      encoder.dispatch(encoder.call(greedy ? "choose_best" : "choose_top", { params, buffers }), rows);
      encoder.dispatch(encoder.call(greedy ? "choose_greedy" : "choose_draw", { params, buffers }), rows);
    }
    for (const entry of entries) entry.hold();
    try {
      return await encoder.readBits({ buffer: ids, rows: R, width: 1, stride: 1, type: "u32" });
    } finally {
      for (const entry of entries) entry.release();
    }
  }
}

/** The words of a Chooser. */
function headerOf(s: ChooserSettings, table: number): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(HEADER);
  words.set(s.random);
  const inverse = s.temperature === 0 ? 0 : 1 / s.temperature;
  const floats = new Float32Array(words.buffer);
  floats[4] = inverse;
  words[5] = s.topK;
  floats.set([s.topP, s.minP, s.repeatPenalty, 1 / s.repeatPenalty, s.frequencyPenalty, s.presencePenalty], 6);
  words[12] = table;
  return words;
}

/**
 * Biases [V] as f32 and history [V]: how often each token was chosen, times two, plus whether it
 * was seen. Null if not used.
 */
function tableOf(s: ChooserSettings): Uint32Array<ArrayBuffer> | null {
  const off = s.repeatPenalty === 1 && s.frequencyPenalty === 0 && s.presencePenalty === 0;
  if (off && s.logitBias.size === 0) return null;
  const words = new Uint32Array(2 * s.vocab);
  const biases = new Float32Array(words.buffer, 0, s.vocab);
  for (const [id, bias] of s.logitBias) biases[id] = bias;
  const history = words.subarray(s.vocab);
  for (const [id, count] of s.counts) history[id] = count * 2;
  for (const id of s.seen) history[id]! |= 1;
  return words;
}
