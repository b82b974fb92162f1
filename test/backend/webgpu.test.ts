// The WebGPU backend on every adapter: as Node runs it, and as a page without optional features does, all checks on.

import { describe, it } from "vitest";
import { ARITHMETICS } from "../../src/backend/webgpu/shader.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { conformance, productConformance } from "./conformance.ts";

describe.skipIf(noAdapter)(`webgpu conformance${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  if (adapters.length === 0) it("needs an adapter", () => Promise.reject(new Error(NO_ADAPTER)));
  for (const adapter of adapters) {
    conformance(`webgpu on ${adapter.name}`, (options) => adapter.open(options));
    conformance(`webgpu on ${adapter.name}, core features only, robust`, (options) =>
      adapter.open({ ...options, optionalFeatures: false, robust: true }),
    );
    for (const arithmetic of ARITHMETICS) {
      if (arithmetic === "f32") continue; // the runs above
      const skip = arithmetic === "f16" && !adapter.features.has("shader-f16");
      const why = skip ? ": skipped: this adapter has no shader-f16" : "";
      describe.skipIf(skip)(`webgpu on ${adapter.name}, products in ${arithmetic}${why}`, () =>
        productConformance(arithmetic, (options) => adapter.open({ ...options, arithmetics: [arithmetic] })),
      );
    }
  }
});
