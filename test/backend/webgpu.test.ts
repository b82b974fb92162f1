// The WebGPU backend on every adapter: as Node runs it, and as a page without optional features does, all checks on.

import { describe, it } from "vitest";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { conformance } from "./conformance.ts";

describe.skipIf(noAdapter)(`webgpu conformance${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  if (adapters.length === 0) it("needs an adapter", () => Promise.reject(new Error(NO_ADAPTER)));
  for (const adapter of adapters) {
    conformance(`webgpu on ${adapter.name}`, (options) => adapter.open(options));
    conformance(`webgpu on ${adapter.name}, core features only, robust`, (options) =>
      adapter.open({ ...options, optionalFeatures: false, robust: true }),
    );
  }
});
