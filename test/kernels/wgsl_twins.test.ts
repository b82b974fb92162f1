// Every WGSL kernel that a forward pass goes through against its plain twin, on one adapter.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { WebGpuOps, WebGpuOptions } from "../../src/backend/webgpu/webgpu.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { openKernels } from "../support/kernels.ts";
import { MAX_TOKENS, TWINS, type Twin, twins } from "./twins.ts";

const [adapter] = adapters;
const f16 = adapter?.features.has("shader-f16") ?? false;

interface Way {
  readonly way: string;
  readonly options: Omit<WebGpuOptions, "maxTokens">;
  readonly of: readonly Twin[];
  /** Kernels that it takes beside a twin's own. */
  readonly beside?: readonly string[];
}

/** Twins of one of these kernels, with weights in formats that show what differs. */
const through = (kernels: readonly string[], formats: readonly string[]): Twin[] =>
  TWINS.filter((twin) => formats.includes(twin.format.name) && kernels.some((kernel) => twin.kernels.includes(kernel)));
const MANY = ["matmul", "expert_up"];
const FEW = ["matmul_vec", "expert_up_vec"];

/** The ways through the backend that take other files of kernels/lib. */
const WAYS: readonly Way[] = [
  { way: "by default", options: {}, of: TWINS },
  {
    way: "without subgroups and f16",
    options: { optionalFeatures: false },
    of: TWINS.filter(({ format }) => format.name === "f32"),
  },
  { way: "tile shared64", options: { tile: "shared64" }, of: through(MANY, ["f32", "q4"]) },
  ...(f16 ? [{ way: "tile half64", options: { tile: "half64" }, of: through(MANY, ["q4"]) } as const] : []),
  { way: "tile int8", options: { tile: "int8" }, of: through(MANY, ["q8", "q4"]), beside: ["quantize"] },
  { way: "products in f32", options: { arithmetics: ["f32"] }, of: through(FEW, ["f16", "q8", "q4"]) },
  ...(f16
    ? [{ way: "products in f16", options: { arithmetics: ["f16"] }, of: through(FEW, ["f16", "q4"]) } as const]
    : []),
  { way: "products in int8", options: { arithmetics: ["int8"] }, of: through(FEW, ["q8", "q4"]) },
];

describe.skipIf(noAdapter)(`webgpu ${adapter?.name ?? NO_ADAPTER}: as the plain kernels`, () => {
  it("there is an adapter", () => expect(adapter).toBeDefined());

  describe.each(WAYS)("$way", ({ options, of, beside = [] }) => {
    let ops: WebGpuOps;
    beforeAll(async () => {
      ops = await adapter!.open({ maxTokens: MAX_TOKENS, ...options });
    });
    afterAll(() => ops?.close());

    const check = async ({ kernels }: Twin, run: () => Promise<Float32Array>): Promise<Float32Array> => {
      let got = new Float32Array(0);
      const profile = await ops.profiling.run(async () => {
        got = Float32Array.from(await run());
      });
      const ran = profile.kernels.map(({ kernel }) => kernel.split(" ")[0]);
      expect(ran).toEqual(expect.arrayContaining([...kernels, ...beside]));
      return got;
    };
    twins(() => ops, check, of);
  });

  it("copy", async () => {
    const bench = await openKernels(adapter!.name, false);
    const x = Uint32Array.from({ length: 4 * 1500 }, (_, i) => i * i);
    const y = new Uint32Array(x.length);
    await bench.run({ name: "copy", n: 1, params: { vectors: 1500 }, buffers: { x, y } });
    bench.close();
    expect(y).toEqual(x);
  });
});
