// Every backend that tests open models on: the CPU, and the usual WebGPU adapters of this machine.

import type { Ops } from "../../src/backend/ops.ts";
import { adapters, NO_ADAPTER, noAdapter, usualAdapters } from "./adapters.ts";
import { cpuOps } from "./cpu.ts";

export interface TestBackend {
  readonly name: string;
  /** Options of open() that select it. */
  readonly options: { readonly backend: "cpu" | "webgpu"; readonly adapter?: string };
  readonly make: (options: { maxTokens: number }) => Promise<Ops>;
}

const missing: readonly TestBackend[] = noAdapter
  ? []
  : [
      {
        name: "webgpu (no adapter on this machine: with CI=true that is a failure)",
        options: { backend: "webgpu" },
        make: () => Promise.reject(new Error("CI=true and this machine has no WebGPU adapter")),
      },
    ];

export const backends: readonly TestBackend[] = [
  { name: "cpu", options: { backend: "cpu" }, make: (options) => cpuOps(options) },
  ...usualAdapters().map(({ name, open }) => ({
    name: `webgpu ${name}`,
    options: { backend: "webgpu", adapter: name } as const,
    make: open,
  })),
  ...(adapters.length === 0 ? missing : []),
];

if (noAdapter) console.warn(`tests on WebGPU ${NO_ADAPTER}`);
