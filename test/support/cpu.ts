// The CPU backend as Node opens it, for tests: relaxed SIMD turned on, workers of the compiled build.

import { type CpuOptions, createCpuOps } from "../../src/backend/cpu/cpu.ts";
import { type InstructionSet, instructionSets } from "../../src/backend/cpu/instruction_set.ts";
import { startNodeWorker } from "../../src/backend/cpu/node_threads.ts";
import { enableWasmFeatures } from "../../src/backend/cpu/node_wasm.ts";
import type { Ops } from "../../src/backend/ops.ts";

/** Two threads unless asked otherwise. */
export function cpuOps(options: CpuOptions): Promise<Ops> {
  enableWasmFeatures();
  return createCpuOps({ threads: 2, startWorker: startNodeWorker, ...options });
}

/** What runs here, "plain" included. */
export function cpuInstructions(): readonly (InstructionSet | "plain")[] {
  enableWasmFeatures();
  return [...instructionSets(), "plain"];
}
