// Every backend that this machine can run tests on.

import { createCpuOps } from "../../src/backend/cpu/cpu.ts";
import type { Ops } from "../../src/backend/ops.ts";

export interface TestBackend {
  readonly name: string;
  readonly make: (options: { maxTokens: number }) => Promise<Ops>;
}

export const backends: readonly TestBackend[] = [{ name: "cpu", make: async (options) => createCpuOps(options) }];
