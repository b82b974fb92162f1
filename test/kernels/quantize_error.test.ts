// What packing costs a trained matrix, against llama.cpp's quantizer on the same rows.

import { describe, expect, it } from "vitest";
import { FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import { packRows, rowPlanes, unpackRows } from "../../src/tensor/format.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { inRepo } from "../support/fixtures.ts";

const ROWS = 64;
const W1 = "model.layers.2.block_sparse_moe.experts.3.w1.weight"; // 256 columns
const W2 = "model.layers.3.block_sparse_moe.experts.2.w2.weight"; // 448 columns

/**
 * Squared errors of the first rows of W1 and W2, as shares of Σw²: of llama.cpp's files of
 * models/tales, without an importance matrix (llama-quantize as node-llama-cpp 3.22.1 has it),
 * dequantized by gguf-py.
 */
const LLAMA_CPP: Partial<Record<PackableName, readonly [w1: number, w2?: number]>> = {
  q8: [2.851186e-5, 2.876167e-5],
  q6_k: [3.126686e-4],
  q5_k: [1.297881e-3],
  q5_1: [1.419779e-3, 1.440531e-3],
  q5_0: [1.817934e-3, 1.822662e-3],
  q4_k: [5.034616e-3],
  q4_1: [6.045368e-3, 6.123071e-3],
  q4: [7.318546e-3, 7.389107e-3],
  iq4_nl: [5.716174e-3, 5.798409e-3],
  iq4_xs: [5.809519e-3],
  mxfp4: [1.314097e-2, 1.296697e-2],
  q3_k: [2.283725e-2],
  q2_k: [8.710574e-2],
};

/** The same of W1 where scales within 256 columns round to the nearest integer, unsearched. */
const ROUNDED: Readonly<Record<string, number>> = { q6_k: 2.765292e-4, iq4_xs: 5.400162e-3, q3_k: 2.062217e-2 };

describe("packing a trained matrix", () => {
  it.each(Object.entries(LLAMA_CPP))("%s: no more error than llama.cpp's quantizer", async (name, errors) => {
    const format = FORMATS[name as PackableName];
    const folder = await openFolder(await nodeFiles(inRepo("models/tales")));
    try {
      for (const [i, most] of errors.entries()) {
        const matrix = folder.source.matrix([W1, W2][i]!);
        const { cols } = matrix;
        const x = new Float32Array(ROWS * cols);
        await matrix.readRows(0, ROWS, x);
        const planes = rowPlanes(format, ROWS, cols);
        packRows(format, x, ROWS, cols, planes);
        const y = new Float32Array(x.length);
        unpackRows(format, planes, ROWS, cols, y);
        const share = (of: (w: number, i: number) => number) => x.reduce((sum, w, i) => sum + of(w, i), 0);
        const error = share((w, i) => (w - y[i]!) ** 2) / share((w) => w ** 2);
        expect(error).toBeLessThanOrEqual(most!);
        expect(error).toBeLessThan(ROUNDED[name] ?? 1);
      }
    } finally {
      await folder.close();
    }
  });
});
