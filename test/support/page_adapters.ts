// Stands for adapters.ts in a page, by its import map: the adapter that the browser gives.

import { describeAdapter } from "../../src/backend/webgpu/adapter.ts";
import { createWebGpuOps } from "../../src/backend/webgpu/webgpu.ts";
import type { TestAdapter } from "./adapters.ts";

const found = await navigator.gpu?.requestAdapter();
/** What kernels may use, for the titles of the tests: the adapter's word for each, and whether it offers it. */
const offers = ["shader-f16", "subgroups"].map((name) => `${found?.features.has(name) ? "with" : "without"} ${name}`);

export const adapters: readonly TestAdapter[] = found
  ? [
      {
        name: `${describeAdapter(found).name} in a page, ${offers.join(", ")}`,
        open: (options) => createWebGpuOps(navigator.gpu, options),
      },
    ]
  : [];

/** A page is opened for its adapter: without one, the tests that need it run and fail. */
export const noAdapter = false;
export const NO_ADAPTER = "this page has no WebGPU adapter";
