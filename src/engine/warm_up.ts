// Warm-up steps: they create the pipelines, buffers and bind groups that later steps use.

import type { Batch, Ops } from "../backend/ops.ts";
import type { Tensor } from "../tensor/types.ts";
import { DEPTH } from "./depth.ts";
import { createSampler } from "./sampler.ts";
import { maxRows } from "./work.ts";

/** Tokens of the step that represents the chunks of a prompt. */
const CHUNK = 32;

/**
 * Computes one token, two, a chunk, and a late token; and where the backend chooses tokens, as many
 * as may be in flight, greedy and drawn, and a chain of them where rows agree. No session may hold
 * KV blocks or slots of states yet: the steps write to the first ones.
 * @param positions room of the KV store
 * @param together further numbers of tokens, each with logits, one for each of as many sessions;
 * of no more rows than a step of sessions has
 */
export async function warmUp(
  ops: Ops,
  forward: (batch: Batch | "next") => Promise<Tensor>,
  vocab: number,
  blockSize: number,
  positions: number,
  together: readonly number[] = [],
): Promise<void> {
  const zeros = (size: number): Batch => ({
    tokens: new Uint32Array(size),
    positions: Uint32Array.from({ length: size }, (_, i) => i),
    sequence: new Uint32Array(size),
    tables: [Uint32Array.from({ length: Math.ceil(positions / blockSize) }, (_, i) => i)],
    states: Uint32Array.of(0),
    outputs: Uint32Array.of(size - 1),
  });
  // The largest first: buffers that later ones share are made once.
  for (const size of together.toSorted((a, b) => b - a)) {
    if (size > Math.min(ops.maxTokens, positions)) continue;
    const rows = Math.min(size, maxRows(vocab));
    await ops.read(await forward({ ...zeros(size), outputs: Uint32Array.from({ length: rows }, (_, i) => i) }));
  }
  // One token; two of a prompt, which use other attention kernels; and a chunk.
  const sizes = [1, 2, CHUNK].map((size) => Math.min(size, ops.maxTokens, positions));
  for (const size of new Set(sizes)) await ops.read(await forward(zeros(size)));
  // And one so late that its positions are split, if the store has room for such.
  await ops.read(await forward({ ...zeros(1), positions: Uint32Array.of(positions - 1) }));
  const { choosing } = ops;
  if (!choosing) return;
  for (const temperature of [0, 1]) {
    // With a penalty, so that the buffers that count tokens exist too.
    const settings = createSampler({ temperature, presencePenalty: 1, seed: 0 }, vocab, []).chooser();
    const chooser = choosing.create(settings);
    if (!chooser) continue;
    const chosen: Promise<unknown>[] = [];
    for (let i = 0; i < Math.min(DEPTH + 1, positions); i++) {
      const ids = choosing.choose(await forward(i === 0 ? { ...zeros(1), choosers: [chooser] } : "next"));
      ids.catch(() => {}); // reported by Promise.all below
      chosen.push(ids);
    }
    await Promise.all(chosen);
    const rows = Math.min(ops.rowsAgree ?? 0, ops.maxTokens, maxRows(vocab), positions);
    if (rows > 1) {
      const outputs = Uint32Array.from({ length: rows }, (_, i) => i);
      const choosers = Array.from(outputs, () => chooser);
      await choosing.choose(await forward({ ...zeros(rows), outputs, choosers, chain: true }));
    }
    chooser.close();
  }
}
