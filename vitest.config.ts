// How `npm test` runs: few processes, patient with GPUs that are computed on the CPU.

import { defineConfig } from "vitest/config";
import Summary from "./test/setup/summary.ts";

/** Node starts a worker from a file that it can run: the compiled one, also where the rest of the code is TypeScript. */
const compiledWorker = {
  name: "compiled-worker",
  transform(code: string, id: string): string | null {
    if (!id.endsWith("/src/backend/cpu/node_threads.ts")) return null;
    const worker = new URL("dist/src/backend/cpu/node_worker.js", import.meta.url).href;
    return code.replace('"./node_worker.js", import.meta.url', JSON.stringify(worker));
  },
};

export default defineConfig({
  plugins: [compiledWorker],
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/setup/build.mjs"],
    // What tests find out about an adapter stays theirs.
    env: { HOTSET_CACHE: new URL("dist/test-cache", import.meta.url).pathname },
    // Processes, not threads: a GPU driver that crashes takes its own file with it and no other.
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    reporters: ["default", new Summary()],
  },
});
