// Stands for adapters.ts in a page, by its import map: the adapter that the browser gives.

import { describeAdapter, hasSubgroups } from "../../src/backend/webgpu/device/adapter.ts";
import { createWebGpuOps } from "../../src/backend/webgpu/webgpu.ts";
import type { TestAdapter } from "./adapters.ts";

const found = await navigator.gpu?.requestAdapter();

/** Its features that kernels use, for the titles of the tests. */
function offers(adapter: GPUAdapter): string {
  const features = {
    "shader-f16": adapter.features.has("shader-f16"),
    subgroups: hasSubgroups(navigator.gpu, adapter),
  };
  return Object.entries(features)
    .map(([name, has]) => `${has ? "with" : "without"} ${name}`)
    .join(", ");
}

export const adapters: readonly TestAdapter[] = found
  ? [
      {
        name: `${describeAdapter(found).name} in a page, ${offers(found)}`,
        features: new Set<string>(found.features),
        open: (options) => createWebGpuOps(navigator.gpu, options),
      },
    ]
  : [];

/** A page is opened for its adapter: without one, the tests that need it run and fail. */
export const noAdapter = false;
export const NO_ADAPTER = "this page has no WebGPU adapter";
