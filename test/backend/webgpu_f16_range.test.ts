// Products in f16 of activations that f16 alone cannot hold: residuals so small that a device which
// takes denormals for 0 would lose them, and outliers of 1e5.

import { describe, expect, it } from "vitest";
import { FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import { LIBS } from "../../kernels/wgsl.ts";
import { openNodeGpu } from "../../src/backend/webgpu/device/node_gpu.ts";
import { HALF_TO_FLOAT, toHalf } from "../../src/tensor/half.ts";
import { adapters } from "../support/adapters.ts";
import { held, memorySource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import * as reference from "../support/reference.ts";
import { expectClose, HALF_NMSE } from "../support/reference.ts";
import { batchOf, inputTable } from "../support/steps.ts";

const adapter = adapters.find(({ features }) => features.has("shader-f16"));
/** As WebGPU numbers them: Node has no globals for it. */
const [MAP_READ, COPY_SRC, COPY_DST, STORAGE] = [0x1, 0x4, 0x8, 0x80];
const NO_F16 = "skipped: no adapter here has shader-f16";

/** f16 as a device has it that takes denormals for 0. */
function flushed(value: number): number {
  const half = HALF_TO_FLOAT[toHalf(value)]!;
  return Math.abs(half) < 2 ** -14 ? 0 : half;
}

/** What unit_of() of unit_f16.wgsl makes of vectors of eight: eight columns, and the scale. */
async function units(x: Float32Array<ArrayBuffer>): Promise<Float32Array> {
  const node = (await openNodeGpu(adapter!.name))!;
  const found = (await node.gpu.requestAdapter())!;
  const device = await found.requestDevice({ requiredFeatures: ["shader-f16"] });
  const eight = /struct Eight \{[^}]*\}/.exec(LIBS["lib/matrix/rows8"]!)![0];
  const code = `${LIBS["lib/matrix/unit_f16"]!.replace("enable f16;", "")}
    @group(0) @binding(0) var<storage, read_write> y: array<f32>;
    ${eight}
    @compute @workgroup_size(1)
    fn main(@builtin(workgroup_id) id: vec3u) {
      let u = unit_of(Eight(x[id.x * 2], x[id.x * 2 + 1]));
      let all = array(u.a.x, u.b.x, u.a.y, u.b.y, u.c.x, u.d.x, u.c.y, u.d.y);
      for (var i = 0u; i < 8; i++) {
        y[id.x * 9 + i] = f32(all[i]);
      }
      y[id.x * 9 + 8] = u.scale;
    }`;
  const module = device.createShaderModule({ code: `enable f16;\n${code}` });
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
  const size = (x.byteLength / 8) * 9;
  const [from, to, read] = [
    device.createBuffer({ size: x.byteLength, usage: STORAGE | COPY_DST }),
    device.createBuffer({ size, usage: STORAGE | COPY_SRC }),
    device.createBuffer({ size, usage: MAP_READ | COPY_DST }),
  ];
  device.queue.writeBuffer(from!, 0, x);
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  const entries = [to!, from!].map((buffer, i) => ({ binding: [0, 3][i]!, resource: { buffer } }));
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(x.length / 8);
  pass.end();
  encoder.copyBufferToBuffer(to!, 0, read!, 0, size);
  device.queue.submit([encoder.finish()]);
  await read!.mapAsync(MAP_READ);
  const y = new Float32Array(read!.getMappedRange()).slice();
  device.destroy();
  await node.release();
  return y;
}

/** Numbers like a residual stream: a few outliers among values that lie around 0. */
const residual = (n: number, seed: number, size: number): Float32Array<ArrayBuffer> =>
  Float32Array.from(uniform(n, seed), (value, i) => value * size * (i % 61 === 7 ? 40 : 1));

describe.skipIf(!adapter)(`f16 products on ${adapter?.name ?? NO_F16}`, () => {
  it.each([
    { name: "small residuals before a norm", x: residual(512, 1, 0.003 * 0.05 * 0.1) },
    { name: "the smallest numbers", x: residual(512, 2, 1e-36) },
    { name: "outliers of 1e5", x: residual(512, 3, 2500) },
    { name: "zeros", x: new Float32Array(16) },
  ])("a unit loses nothing where denormals are 0: $name", async ({ x }) => {
    const y = await units(x);
    let [error, all] = [0, 0];
    // A row of levels -8 .. 7 times each unit, every step rounded and flushed as f16.
    for (let u = 0; u < x.length / 8; u++) {
      const scale = y[u * 9 + 8]!;
      const levels = Array.from({ length: 8 }, (_, i) => ((u * 5 + i * 11) % 16) - 8);
      const product = (i: number): number => flushed(levels[i]! * flushed(y[u * 9 + i]!));
      let got = 0;
      for (let i = 0; i < 8; i += 4)
        got += flushed(flushed(product(i) + product(i + 2)) + flushed(product(i + 1) + product(i + 3)));
      const want = levels.reduce((sum, level, i) => sum + level * x[u * 8 + i]!, 0);
      expect(Number.isFinite(got)).toBe(true);
      error += (got * scale - want) ** 2;
      all += want ** 2;
    }
    expect(error).toBeLessThanOrEqual(1e-6 * all);
  });

  const D = 128;
  it.each(["q4", "q8", "f16"] as readonly PackableName[])("products are right at both ends: %s", async (name) => {
    const ops = await adapter!.open({ maxTokens: 2, arithmetics: ["f16"] });
    const format = FORMATS[name];
    const w = uniform(D * D, 4, 0.1);
    const m = await ops.loadMatrix(memorySource("w", w, D, D), format);
    const norm = uniform(D, 5, 0.005);
    const v = await ops.loadVector(memorySource("n", norm, 1, D));
    const weights = held(format, w, D, D);
    for (const size of [0.003, 2500]) {
      const x = residual(2 * D, 6, size);
      const input = await inputTable(ops, x, D);
      ops.begin(batchOf(2, { outputs: Uint32Array.of(0, 1) }));
      const e = ops.embed(input);
      const normed = await ops.read(ops.matmul(ops.rmsNorm(e, v, 1e-9), m));
      expectClose(normed, reference.matmul(reference.rmsNorm(x, norm, 1e-9), weights, D), D, HALF_NMSE);
      const plain = await ops.read(ops.matmul(e, m));
      expectClose(plain, reference.matmul(x, weights, D), D, HALF_NMSE);
    }
    ops.close();
  });
});
