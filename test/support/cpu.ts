// The CPU backend as Node opens it, for tests: relaxed SIMD turned on, workers of
// the compiled build.

import { setTimeout as sleep } from "node:timers/promises";
import { controlOf, SLEEPERS } from "../../src/backend/cpu/control.ts";
import { type CpuOptions, createCpuOps } from "../../src/backend/cpu/cpu.ts";
import { type InstructionSet, instructionSets } from "../../src/backend/cpu/instruction_set.ts";
import { startNodeWorker } from "../../src/backend/cpu/node_threads.ts";
import { enableWasmFeatures } from "../../src/backend/cpu/node_wasm.ts";
import type { Ops } from "../../src/backend/ops.ts";
import { shown } from "./some.ts";

/** Two threads by default. */
export function cpuOps(options: CpuOptions): Promise<Ops> {
  enableWasmFeatures();
  return createCpuOps({ threads: 2, startWorker: startNodeWorker, ...options });
}

/** The same, after all threads have started: a short test might end before that. */
export async function readyCpuOps(options: CpuOptions): Promise<Ops> {
  let state: Int32Array = new Int32Array(0);
  const ops = await cpuOps({
    ...options,
    startWorker: () => {
      const worker = startNodeWorker();
      return {
        ...worker,
        post: (message) => {
          if ("control" in message) state = controlOf(message.control).state;
          worker.post(message);
        },
      };
    },
  });
  // Without work they go to sleep as soon as they have started.
  while (ops.info.threads > 1 && Atomics.load(state, SLEEPERS) < ops.info.threads - 1) await sleep(1);
  return ops;
}

/** The instruction sets that run here, and "plain". */
export function cpuInstructions(): readonly (InstructionSet | "plain")[] {
  enableWasmFeatures();
  return [...instructionSets(), "plain"];
}

/**
 * Ways through the CPU backend: each build of the kernels, the best on two threads and the others
 * on one, or each on both where really everything runs; the plain kernels have one. Declares a
 * skipped test for the others: call it where tests are declared.
 */
export function cpuPaths(): readonly { readonly name: string; readonly options: Omit<CpuOptions, "maxTokens"> }[] {
  const [best] = cpuInstructions();
  const all = cpuInstructions().flatMap((instructions) =>
    (instructions === "plain" ? [1] : [1, 2]).map((threads) => ({
      name: instructions === "plain" ? "cpu plain" : `cpu ${instructions}, ${threads} thread${threads > 1 ? "s" : ""}`,
      options: { instructions, threads },
    })),
  );
  return shown(
    all,
    ({ options: { instructions, threads } }) => instructions === "plain" || (threads === 2) === (instructions === best),
  );
}
