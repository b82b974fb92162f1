// The WebGPU backend on every adapter: as Node runs it, and as a page without optional features
// does, all checks on.

import { afterEach, describe, it } from "vitest";
import { AUTOMATIC, FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import { ARITHMETICS } from "../../src/backend/webgpu/dispatch/shader.ts";
import { usualForms } from "../../src/backend/webgpu/tuning/rows.ts";
import { type TileName, tilesFor } from "../../src/backend/webgpu/tuning/tiles.ts";
import type { WebGpuOptions } from "../../src/backend/webgpu/webgpu.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { canaries } from "../support/canaries.ts";
import { leftToCi } from "../support/level.ts";
import {
  conformance,
  fewConformance,
  firstOnly,
  formatConformance,
  productConformance,
  tileConformance,
} from "./conformance.ts";

/**
 * Variants of the products for many tokens, and the weights they are tested on: all for one of
 * those that share what unpacks them. The suite itself runs `registers`, the default of software
 * adapters; `matrix` is webgpu_matrix.test.ts.
 */
const TILE_CASES: Readonly<Partial<Record<TileName, readonly PackableName[]>>> = {
  shared64: AUTOMATIC,
  shared128: ["q4"],
  half64: ["f32", "q8"],
  half128: ["f16"],
  int8: ["q8", "q4"],
};

/**
 * The cases that also run without f16: SwiftShader takes four minutes for the others, which
 * need no feature.
 */
const TILES_WITHOUT_F16: readonly string[] = ["shared64 q4", "int8 q4"];

const LEFT_TO_SWIFTSHADER = "skipped: compiled for minutes here, and run on SwiftShader (here too: HOTSET_ALL_TESTS=1)";

describe.skipIf(noAdapter)(`webgpu conformance${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  if (adapters.length === 0) it("needs an adapter", () => Promise.reject(new Error(NO_ADAPTER)));
  // Everything but the robust run, whose checks would hide a stray write, runs over buffers that
  // end in canaries.
  const { guard, check } = canaries();
  afterEach(check);
  for (const adapter of adapters) {
    const open = async (options: WebGpuOptions) => guard(await adapter.open(options));
    conformance(`webgpu on ${adapter.name}`, open, leftToCi && firstOnly(leftToCi));
    formatConformance(`webgpu on ${adapter.name}`, open);
    // llvmpipe takes minutes to compile these checks, and either driver the zeroing of workgroup
    // memory: where there are both, all of the suite runs on SwiftShader without that, and of each
    // verb the first case with it on llvmpipe.
    const slower = adapter.leftToFaster !== undefined;
    const few = adapters.some((other) => other !== adapter && other.leftToFaster !== undefined);
    conformance(
      `webgpu on ${adapter.name}, core features only, robust`,
      (options) => adapter.open({ ...options, optionalFeatures: false, robust: slower ? "unzeroed" : true }),
      leftToCi ?? (few ? firstOnly(LEFT_TO_SWIFTSHADER) : null),
    );
    for (const arithmetic of ARITHMETICS) {
      if (arithmetic === "f32") continue; // the runs above
      const skip = arithmetic === "f16" && !adapter.features.has("shader-f16");
      const why = skip ? ": skipped: this adapter has no shader-f16" : "";
      describe.skipIf(skip)(`webgpu on ${adapter.name}, products in ${arithmetic}${why}`, () => {
        const own = (options: WebGpuOptions) => open({ ...options, arithmetics: [arithmetic] });
        // int8 shows that an arithmetic is taken
        productConformance(arithmetic, own, leftToCi && (arithmetic === "f16" ? leftToCi : firstOnly(leftToCi)));
        formatConformance(arithmetic, own, adapter.leftToFaster ?? leftToCi);
      });
    }
    for (const tile of ["shared64", "int8"] as const)
      formatConformance(
        `webgpu on ${adapter.name}, tile ${tile},`,
        (options) => open({ ...options, tile }),
        adapter.leftToFaster ?? leftToCi,
      );
    // The kernels for a few rows, up to as many as a GPU takes them for.
    const forms = usualForms(false);
    for (const arithmetic of ["f32", "int8"] as const)
      fewConformance(
        `webgpu on ${adapter.name}, forms of a GPU, ${arithmetic},`,
        (options) => open({ ...options, forms, arithmetics: [arithmetic] }),
        ["q4"],
        adapter.leftToFaster ?? leftToCi,
      );
    const f16 = adapter.features.has("shader-f16");
    for (const tile of tilesFor(FORMATS.q4, { f16: true, int8: true, matrix: null }))
      for (const weights of TILE_CASES[tile] ?? []) {
        const runs = f16 || TILES_WITHOUT_F16.includes(`${tile} ${weights}`);
        const lacks = tile.startsWith("half")
          ? "this adapter has no shader-f16"
          : "slow to compile here, and run on the other";
        describe.skipIf(!runs)(runs ? "tiles" : `tiles, skipped: ${lacks}`, () =>
          tileConformance(
            `webgpu on ${adapter.name}, tile ${tile} with ${weights} weights`,
            (options) => open({ ...options, tile }),
            [weights],
            "all",
            // the others differ in how formats are unpacked, which the suite covers, and in int8
            leftToCi && (weights === "q4" && tile === "shared64" ? firstOnly(leftToCi) : leftToCi),
          ),
        );
      }
  }
});
