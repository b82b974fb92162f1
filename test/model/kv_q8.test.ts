// Keys and values in q8 on held-out text of models/tales: the distributions of tokens differ from
// those with f16 by a mean Kullback-Leibler divergence of at most 0.001.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { open } from "../../src/index.ts";
import { backends } from "../support/backends.ts";
import { inRepo, inShared, titled } from "../support/fixtures.ts";
import { EVERYTHING, leftToCi } from "../support/level.ts";
import { some } from "../support/some.ts";

const heldout = inShared("fixtures/perplexity/tales-valid.txt");
const LIMIT = 0.001;
const PIECE = 511;

/** Mean of sum p log(p / q) over rows of logits [V]. */
function divergence(p: Float32Array, q: Float32Array, V: number): number {
  let sum = 0;
  for (let at = 0; at < p.length; at += V) {
    const [a, b] = [p.subarray(at, at + V), q.subarray(at, at + V)];
    const [ofA, ofB] = [logSum(a), logSum(b)];
    a.forEach((logit, i) => {
      sum += Math.exp(logit - ofA) * (logit - ofA - (b[i]! - ofB));
    });
  }
  return sum / (p.length / V);
}

function logSum(row: Float32Array): number {
  const max = row.reduce((a, b) => Math.max(a, b));
  return max + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - max), 0));
}

describe.skipIf(heldout.skip)(titled("keys and values in q8", heldout.skip), () => {
  const text = heldout.skip ? "" : readFileSync(heldout.path, "utf8");

  it.each(some(backends, 1))("$name", async ({ name, options }) => {
    const windows = name === "cpu" ? (EVERYTHING ? 8 : 2) : 1;
    const length = name === "cpu" || !leftToCi ? PIECE : 128; // software adapters are slow
    const found: Float32Array[][] = [];
    let V = 0;
    for (const kv of ["f16", "q8"] as const) {
      const model = await open(inRepo("models/tales"), { ...options, weights: "f32", kv, context: 512 });
      try {
        const ids = model.tokenizer.encode(text, { addBos: false });
        V = model.architecture.vocab;
        const all: Float32Array[] = [];
        for (let w = 0; w < windows; w++)
          all.push((await model.logits([1, ...ids.slice(w * PIECE, w * PIECE + length - 1)])).slice());
        found.push(all);
      } finally {
        await model.close();
      }
    }
    const [halves, bytes] = found as [Float32Array[], Float32Array[]];
    const mean = halves.reduce((sum, one, w) => sum + divergence(one, bytes[w]!, V), 0) / windows;
    console.log(`KL of kv q8 from f16, ${name}, ${windows} windows of ${length}: ${mean.toExponential(2)}`);
    expect(mean).toBeGreaterThan(0); // it is another cache
    expect(mean).toBeLessThan(LIMIT);
  });
});
