// A model on WebGPU without the engine: steps at any position, even if the positions before it were
// never computed.
//
// Times do not depend on what the cache holds, so a step at position 32,768 needs no prompt
// of that length.

import { FORMATS, type PackableName } from "../kernels/formats/index.ts";
import type { Batch, Chooser, KvPrecision, KvStore } from "../src/backend/ops.ts";
import type { RowForms } from "../src/backend/webgpu/tuning/rows.ts";
import { createWebGpuOps, type WebGpuOps } from "../src/backend/webgpu/webgpu.ts";
import { DEPTH } from "../src/engine/depth.ts";
import { warmUp } from "../src/engine/warm_up.ts";
import { type Decoder, forward, loadDecoder } from "../src/model/decoder.ts";
import { type Architecture, kvGeometry, routingOf } from "../src/model/family.ts";
import { keep } from "../src/model/formats.ts";
import type { OpenWeights } from "./synthetic.ts";

/** Positions of a KV block, as open() has it. */
export const BLOCK = 32;

/** The sampling of `hotset bench`. */
const GREEDY = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repeatPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: new Map<number, number>(),
  seen: [],
  counts: new Map<number, number>(),
  random: new Uint32Array(4),
};

export interface StepsOptions {
  readonly weights: PackableName;
  readonly kv: KvPrecision;
  /** Largest batch. */
  readonly chunk: number;
  /** Which forms of products are used, by rows. Default: what is usual for the adapter. */
  readonly forms?: RowForms;
  /** Whether a row has the same results beside a few others as alone; default false. */
  readonly rowsAgree?: boolean;
  /** Whether kernels are timed first; default true. */
  readonly tune?: boolean;
}

export interface Steps {
  readonly ops: WebGpuOps;
  readonly architecture: Architecture;
  readonly model: Decoder;
  readonly loadMs: number;
  /** The tuner's choices, by problem; empty where nothing was timed. */
  readonly tuned: Readonly<Record<string, unknown>>;
  /** The warm-up of open(). Writes to the first blocks of the cache. */
  warmUp(): Promise<void>;
  /** Reserves cache for sequences of this many positions. */
  reserve(positions: number, sequences?: number): Promise<void>;
  /**
   * Computes tokens `first .. first + count - 1` of a sequence and reads the last one's
   * logits, or nothing.
   */
  step(first: number, count: number, logits: boolean): Promise<void>;
  /**
   * Decodes `count` tokens from position `first` on, greedily, a few steps ahead of the ids that
   * have been read.
   * @param sequences that are decoded together, a row of each step apiece
   * @param other the same model with its experts elsewhere
   */
  decode(first: number, count: number, sequences?: number, other?: Decoder): Promise<void>;
  /** Computes the token at a position of each of some sequences, and reads all their logits. */
  together(position: number, sequences: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * Loads a model onto the device, and closes the weights.
 * @param onClose what to do once the device is closed
 */
export async function stepsOn(
  gpu: GPU,
  { architecture, sources, close }: OpenWeights,
  options: StepsOptions,
  onClose: () => void = () => {},
): Promise<Steps> {
  const { weights, kv, chunk, forms, rowsAgree = false, tune = true } = options;
  const started = performance.now();
  const format = FORMATS[weights];
  const ops = await createWebGpuOps(gpu, { maxTokens: chunk, onClose, rowsAgree, ...(forms && { forms }) });
  let model: Decoder;
  let tuned: Readonly<Record<string, unknown>> = {};
  try {
    model = await loadDecoder(ops, architecture, sources, { plan: keep(format) });
    if (tune)
      await ops.tune({
        read: async () => null, // timed in every run: an earlier result may come from a busy machine
        async write(_, text) {
          tuned = JSON.parse(text);
        },
      });
  } catch (error) {
    ops.close();
    throw error;
  } finally {
    await close();
  }
  const greedy = (): Chooser => {
    const chooser = ops.choosing.create({ ...GREEDY, vocab: architecture.vocab });
    if (!chooser) throw new Error("the backend does not choose greedily");
    return chooser;
  };
  const choosers: Chooser[] = [];
  const cache: KvStore = ops.createKv(kvGeometry(architecture), kv, BLOCK);
  return {
    ops,
    architecture,
    model,
    loadMs: performance.now() - started,
    tuned,
    async warmUp() {
      const positions = 4 * chunk;
      await cache.reserve(Math.ceil(positions / BLOCK));
      const { perToken, count } = routingOf(architecture);
      const together = ops.tuning.stepSizes(chunk, perToken, count);
      await warmUp(ops, forward.bind(null, ops, model, cache), architecture.vocab, BLOCK, positions, together);
    },
    reserve: (positions, sequences = 1) => cache.reserve(sequences * Math.ceil(positions / BLOCK)),
    async step(first, count, logits) {
      await ops.read(await forward(ops, model, cache, batchOf(first, count, architecture.vocab, logits)));
    },
    async decode(first, count, sequences = 1, other = model) {
      const inFlight: Promise<unknown>[] = [];
      while (choosers.length < sequences) choosers.push(greedy());
      const whole = {
        ...together(first, count, sequences, architecture.vocab),
        choosers: choosers.slice(0, sequences),
      };
      for (let i = 0; i < count; i++) {
        const logits = await forward(ops, other, cache, i === 0 ? whole : "next");
        inFlight.push(ops.choosing.choose(logits));
        if (inFlight.length > DEPTH) await inFlight.shift();
      }
      await Promise.all(inFlight);
    },
    async together(position, sequences) {
      await ops.read(await forward(ops, model, cache, together(position, 1, sequences, architecture.vocab)));
    },
    async close() {
      cache.close();
      ops.close();
    },
  };
}

/** Ids of the blocks of this many positions. */
function blocks(positions: number): Uint32Array {
  return Uint32Array.from({ length: Math.ceil(positions / BLOCK) }, (_, i) => i);
}

/** A token at position `first` of each of some sequences, which have room for `count` more. */
export function together(first: number, count: number, sequences: number, vocab: number): Batch {
  const rows = Uint32Array.from({ length: sequences }, (_, i) => i);
  const each = Math.ceil((first + count) / BLOCK);
  return {
    tokens: rows.map((row) => tokenAt(first + row, vocab)),
    positions: rows.map(() => first),
    sequence: rows,
    tables: [...rows].map((row) => Uint32Array.from({ length: each }, (_, i) => row * each + i)),
    outputs: rows,
  };
}

function tokenAt(position: number, vocab: number): number {
  return (Math.imul(position + 1, 2654435761) >>> 0) % vocab;
}

/** Tokens `first .. first + count - 1` of one sequence, with the last one's logits or without. */
export function batchOf(first: number, count: number, vocab: number, logits: boolean): Batch {
  const positions = Uint32Array.from({ length: count }, (_, i) => first + i);
  return {
    tokens: positions.map((position) => tokenAt(position, vocab)),
    positions,
    sequence: new Uint32Array(count),
    tables: [blocks(first + count)],
    outputs: logits ? Uint32Array.of(count - 1) : new Uint32Array(0),
  };
}
