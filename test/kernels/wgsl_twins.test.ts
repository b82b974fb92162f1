// Every WGSL kernel that a forward pass goes through against its plain twin, on one adapter, with
// the files that it takes there.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { WebGpuOps } from "../../src/backend/webgpu/webgpu.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { openKernels } from "../support/kernels.ts";
import { FLOAT_NMSE } from "../support/reference.ts";
import { MAX_TOKENS, once, TWINS, twins } from "./twins.ts";
import { checkKernels } from "./ways.ts";

const [adapter] = adapters;

describe.skipIf(noAdapter)(`webgpu ${adapter?.name ?? NO_ADAPTER}: as the plain kernels`, () => {
  let ops: WebGpuOps;
  beforeAll(async () => {
    // Products of many rows by tiles, which software adapters take only if they are asked to.
    ops = await adapter!.open({ maxTokens: MAX_TOKENS, tile: "registers" });
  });
  afterAll(() => ops?.close());

  twins(
    () => ops,
    ({ kernels }, run) => checkKernels(ops, kernels, run),
    once(TWINS),
    FLOAT_NMSE, // without tuning products are computed in f32
  );

  it("copy", async () => {
    const bench = await openKernels(adapter!.name, false);
    const x = Uint32Array.from({ length: 4 * 1500 }, (_, i) => i * i);
    const y = new Uint32Array(x.length);
    await bench.run({ name: "copy", n: 1, params: { vectors: 1500 }, buffers: { x, y } });
    bench.close();
    expect(y).toEqual(x);
  });
});
