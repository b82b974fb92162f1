// Runs a model over a text to see what its matrices are multiplied with (Node only), on the CPU
// with exact arithmetic.

import { open } from "node:fs/promises";
import { FORMATS } from "../../kernels/formats/index.ts";
import { type CpuOptions, createCpuOps } from "../backend/cpu/cpu.ts";
import { startNodeWorker } from "../backend/cpu/node_threads.ts";
import { RequestError } from "../errors.ts";
import { forward, loadDecoder } from "../model/decoder.ts";
import type { ModelSources } from "../model/family.ts";
import { type Architecture, kvGeometry } from "../model/family.ts";
import { keep } from "../model/formats.ts";
import { Importance } from "../model/importance.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** The most tokens of a text that are taken, and bytes of a file: enough for them. */
const TOKENS = 8192;
const TEXT_BYTES = 2 ** 20;
/** Tokens of a sequence, and of a step. */
const PIECE = 256;
const BLOCK = 16;
/** Fewer say little about most experts. */
const LEAST = 64;

/** The beginning of a text file. @throws RequestError if it cannot be read or is not UTF-8 */
export async function calibrationText(path: string): Promise<string> {
  const bytes = new Uint8Array(TEXT_BYTES);
  let length = 0;
  try {
    const file = await open(path);
    try {
      for (let read = -1; read !== 0 && length < bytes.length; length += read)
        read = (await file.read(bytes, length, bytes.length - length, null)).bytesRead;
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new RequestError(`calibrate: ${path} cannot be read: ${(error as Error).message}`);
  }
  try {
    // As a stream: the last character may be cut.
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, length), { stream: true });
  } catch {
    throw new RequestError(`calibrate: ${path}: expected UTF-8 text, found other bytes`);
  }
}

export interface CalibrateOptions extends Pick<CpuOptions, "threads" | "instructions"> {
  /** Tokens of the text that have been run, and how many there are. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The importance of the inputs of all matrices over a text. Matrices keep the format that they are
 * stored in; others are f32. @throws RequestError for a text that is too short; errors of loading;
 * the signal's reason
 */
export async function calibrate(
  architecture: Architecture,
  sources: ModelSources,
  tokenizer: Tokenizer,
  text: string,
  { onProgress = () => {}, signal, ...cpu }: CalibrateOptions = {},
): Promise<Importance> {
  const ids = tokenizer.encode(text, { addBos: false }).slice(0, TOKENS);
  if (ids.length < LEAST)
    throw new RequestError(`calibrate: expected a text of at least ${LEAST} tokens, found ${ids.length}`);
  const importance = new Importance();
  const exact = { maxTokens: PIECE, activations: "f32", startWorker: startNodeWorker } as const;
  const ops = await createCpuOps({ ...exact, ...cpu, observer: importance });
  try {
    const model = await loadDecoder(ops, architecture, sources, { plan: keep(FORMATS.f32), signal });
    const kv = ops.createKv(kvGeometry(architecture), "f32", BLOCK);
    await kv.reserve(PIECE / BLOCK);
    await kv.states?.reserve(1);
    const blocks = Uint32Array.from({ length: PIECE / BLOCK }, (_, i) => i);
    for (let at = 0; at < ids.length; at += PIECE) {
      signal?.throwIfAborted();
      const tokens = Uint32Array.from(ids.slice(at, at + PIECE));
      const T = tokens.length;
      const positions = Uint32Array.from({ length: T }, (_, i) => i);
      // All outputs, so that the head's inputs are seen too.
      const batch = {
        tokens,
        positions,
        sequence: new Uint32Array(T),
        tables: [blocks],
        states: Uint32Array.of(0),
        anchors: Uint32Array.of(T),
        outputs: positions,
      };
      await forward(ops, model, kv, batch);
      onProgress(Math.min(ids.length, at + PIECE), ids.length);
    }
    return importance;
  } finally {
    ops.close();
  }
}
