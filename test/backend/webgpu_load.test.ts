// Large matrices of a WebGPU model are made by the CPU's kernels, in its memory and on its threads.

import { expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { panelWorker } from "../../src/backend/cpu/cpu.ts";
import { unpackRows } from "../../src/tensor/format.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { blocksSource } from "../support/memory_source.ts";
import { batchOf } from "../support/steps.ts";

it.skipIf(noAdapter)(`webgpu ${adapters[0]?.name ?? NO_ADAPTER}: blocks are split where workOf says`, async () => {
  const [V, D] = [3000, 1024];
  const { workOf, close } = panelWorker({ threads: 1 });
  const made: string[] = [];
  const ops = await adapters[0]!.open({
    maxTokens: 8,
    async workOf(format) {
      made.push(format.name);
      return workOf!(format);
    },
  });
  const source = blocksSource("embed", FORMATS.iq2, V, D, 3);
  const table = await ops.loadMatrix(source, FORMATS.iq2);
  await ops.loadMatrix(blocksSource("small", FORMATS.iq3_s, 8, D, 4), FORMATS.iq3_s);
  await close();
  expect(made).toEqual(["iq2"]);
  const weights = new Float32Array(V * D);
  unpackRows(FORMATS.iq2, source.planes, V, D, weights);
  const tokens = Uint32Array.of(2999, 0, 1500, 7);
  ops.begin(batchOf(tokens.length, { tokens }));
  const got = await ops.read(ops.embed(table));
  const want = Float32Array.from([...tokens].flatMap((t) => [...weights.subarray(t * D, (t + 1) * D)]));
  expect(got).toEqual(want);
  ops.close();
});
