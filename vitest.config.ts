// How tests run: few processes, patient with GPUs that are computed on the CPU; `vitest related` chooses by what imports what.

import { existsSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { kernelNames, mayShare, relatedTests, testFiles } from "./test/setup/graph.ts";
import Summary from "./test/setup/summary.ts";
import { HUNG, PATIENT } from "./test/support/patience.ts";

/** Node starts a worker from a file that it can run: the compiled one, also where the rest of the code is TypeScript. */
const compiledWorker = {
  name: "compiled-worker",
  transform(code: string, id: string): string | null {
    const folder = /\/(src\/(?:backend\/cpu|grammar|wiring))\/node_\w*threads\.ts$/.exec(id)?.[1];
    if (folder === undefined) return null;
    return code.replace(/"\.\/(node_\w*worker\.js)", import\.meta\.url/, (_, name: string) =>
      JSON.stringify(new URL(`dist/${folder}/${name}`, import.meta.url).href),
    );
  },
};

/** Small files that take minutes, which vitest would begin last, going by their size: one process would then end long after the other. */
const LONG = [
  "backend/webgpu",
  "browser/conformance",
  "package/bundlers",
  "node/runtimes",
  "backend/cpu",
  "node/current_node",
  "cli/quantize",
  "model/perplexity",
  "experts/gguf",
  "experts/tales",
  "browser/firefox",
  "browser/device",
  "backend/webgpu_matrix",
  "backend/webgpu_left_out",
  "model/families",
];

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const long = (file: TestSpecification): boolean => LONG.some((name) => file.moduleId.endsWith(`/${name}.test.ts`));
    const sorted = await super.sort(files);
    return [...sorted.filter(long), ...sorted.filter((file) => !long(file))];
  }
}

/** Files that `vitest related` was given, relative to the root with "/"; null for every other command. */
const changed =
  process.argv[2] === "related"
    ? process.argv
        .slice(3)
        .filter((word) => existsSync(word))
        .map((file) => relative(fileURLToPath(new URL(".", import.meta.url)), file).replaceAll("\\", "/"))
    : null;

/** Kernels that test/kernels/twins.ts is to run, where nothing but WGSL has changed. */
const kernels = changed?.every((file) => file.endsWith(".wgsl")) ? changed.flatMap(kernelNames) : [];

/** Formats, where nothing but WGSL and SIMD in their own folders has changed: the twins are then theirs. */
const formats = changed?.map((file) => /^kernels\/formats\/(\w+)\/.*\.(?:wgsl|simd\.ts)$/.exec(file)?.[1]) ?? [];

const tests = changed === null ? testFiles() : [...new Set(changed.flatMap(relatedTests))];

export default defineConfig({
  plugins: [compiledWorker],
  test: {
    globalSetup: ["test/setup/build.mjs"],
    // What tests find out about an adapter stays theirs.
    env: {
      HOTSET_CACHE: new URL("dist/test-cache", import.meta.url).pathname,
      ...(kernels.length > 0 && { HOTSET_KERNELS: kernels.join(",") }),
      ...(formats.length > 0 && !formats.includes(undefined) && { HOTSET_FORMATS: formats.join(",") }),
    },
    // Processes, not threads: a GPU driver that crashes takes its own file with it and no other.
    pool: "forks",
    projects: [
      { extends: true, test: { name: "shared", include: tests.filter(mayShare), isolate: false } },
      { extends: true, test: { name: "apart", include: tests.filter((test) => !mayShare(test)) } },
    ],
    // Some tests wait more than they compute.
    maxWorkers: 3,
    sequence: { sequencer: LongFirst },
    testTimeout: HUNG,
    hookTimeout: HUNG,
    // Its own default is a second, which a busy machine takes for nothing.
    expect: { poll: PATIENT },
    // Compiled modules are kept from one run to the next.
    experimental: { fsModuleCache: true, fsModuleCachePath: "dist/.cache/vitest" },
    // The tests were chosen above: vitest knows neither WGSL nor SIMD kernels, and takes every test that opens a model.
    forceRerunTriggers: changed === null ? [] : ["**"],
    reporters: ["default", new Summary()],
  },
});
