// That a step has gone through the kernels that it is meant to test.

import { expect } from "vitest";
import type { WebGpuOps } from "../../src/backend/webgpu/webgpu.ts";

/** What `run` gives; fails where one of `kernels` was not dispatched, or one of `without` was. */
export async function checkKernels(
  ops: WebGpuOps,
  kernels: readonly string[],
  run: () => Promise<Float32Array>,
  without: readonly string[] = [],
): Promise<Float32Array> {
  let got = new Float32Array(0);
  const profile = await ops.profiling.run(async () => {
    got = Float32Array.from(await run());
  });
  const ran = profile.kernels.map(({ kernel }) => kernel.split(" ")[0]);
  expect(ran).toEqual(expect.arrayContaining([...kernels]));
  expect(ran.filter((kernel) => without.includes(kernel!))).toEqual([]);
  return got;
}
