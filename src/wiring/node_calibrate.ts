// Runs a model over a text to see what its matrices are multiplied with (Node only): in f32, by
// plain kernels, on one thread.

import { FORMATS } from "../../kernels/formats/index.ts";
import { createCpuOps } from "../backend/cpu/cpu.ts";
import { RequestError } from "../errors.ts";
import { forward, loadDecoder } from "../model/decoder.ts";
import type { ModelSources } from "../model/family.ts";
import { type Architecture, kvGeometry } from "../model/family.ts";
import { packAll } from "../model/formats.ts";
import { Importance } from "../model/importance.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** The most tokens of a text that are taken. */
const TOKENS = 8192;
/** Tokens of a sequence, and of a step. */
const PIECE = 256;
const BLOCK = 16;
/** Fewer say little about most experts. */
const LEAST = 64;

/**
 * The importance of the inputs of all matrices over a text. @throws RequestError for a text that is
 * too short; errors of loading; the signal's reason
 */
export async function calibrate(
  architecture: Architecture,
  sources: ModelSources,
  tokenizer: Tokenizer,
  text: string,
  onProgress: (done: number, total: number) => void,
  signal?: AbortSignal,
): Promise<Importance> {
  const ids = tokenizer.encode(text, { addBos: false }).slice(0, TOKENS);
  if (ids.length < LEAST)
    throw new RequestError(`calibrate: expected a text of at least ${LEAST} tokens, found ${ids.length}`);
  const importance = new Importance();
  const ops = await createCpuOps({ maxTokens: PIECE, instructions: "plain", observer: importance });
  try {
    const model = await loadDecoder(ops, architecture, sources, { plan: packAll(FORMATS.f32), signal });
    const kv = ops.createKv(kvGeometry(architecture), "f32", BLOCK);
    await kv.reserve(PIECE / BLOCK);
    const blocks = Uint32Array.from({ length: PIECE / BLOCK }, (_, i) => i);
    for (let at = 0; at < ids.length; at += PIECE) {
      signal?.throwIfAborted();
      const tokens = Uint32Array.from(ids.slice(at, at + PIECE));
      const T = tokens.length;
      const positions = Uint32Array.from({ length: T }, (_, i) => i);
      // All outputs, so that the head's inputs are seen too.
      const batch = { tokens, positions, sequence: new Uint32Array(T), tables: [blocks], outputs: positions };
      await forward(ops, model, kv, batch);
      onProgress(Math.min(ids.length, at + PIECE), ids.length);
    }
    return importance;
  } finally {
    ops.close();
  }
}
