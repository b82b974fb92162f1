// MXFP4 of gpt-oss against the same numbers dequantized by transformers, which lie transposed.

import { expect, it } from "vitest";
import { everyOther } from "../../src/model/stacked.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { floatsOf, planesOf } from "../support/quantized_matrix.ts";

const blocks = inShared("fixtures/families/gpt_oss-a");
const plain = inShared("fixtures/families/gpt_oss-a-bf16");
const skip = blocks.skip ?? plain.skip;

it.skipIf(skip)(titled("reads blocks as the numbers that they stand for", skip), async () => {
  const [E, D, F] = [6, 64, 32];
  const name = "model.layers.1.mlp.experts.gate_up_proj";
  const [packed, whole] = [
    await openFolder(await nodeFiles(blocks.path)),
    await openFolder(await nodeFiles(plain.path)),
  ];
  const matrix = packed.source.matrix(`${name}.weight`);
  expect(matrix).toMatchObject({ rows: E * 2 * F, cols: D, format: { name: "mxfp4" } });
  const turned = await floatsOf(whole.source.matrix(name)); // [E, D, 2F]
  const want = Float32Array.from({ length: E * 2 * F * D }, (_, i) => {
    const [row, d] = [Math.floor(i / D), i % D];
    return turned[(Math.floor(row / (2 * F)) * D + d) * 2 * F + (row % (2 * F))]!;
  });
  expect(await floatsOf(matrix)).toEqual(want);
  expect(await planesOf(matrix, matrix.format!)).toEqual(want);
  const ups = want.filter((_, i) => Math.floor(i / D) % 2 === 1);
  expect(await floatsOf(everyOther(matrix, 1))).toEqual(ups);
  await packed.close();
  await whole.close();
});
