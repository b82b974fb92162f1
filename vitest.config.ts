// How `npm test` runs: few processes, patient with GPUs that are computed on the CPU.

import { defineConfig } from "vitest/config";
import Summary from "./test/setup/summary.ts";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/setup/build.mjs"],
    // Processes, not threads: a GPU driver that crashes takes its own file with it and no other.
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    reporters: ["default", new Summary()],
  },
});
