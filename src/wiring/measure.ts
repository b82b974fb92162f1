// What computing and moving one expert of Mixtral takes on a machine: the figures that residency decides by (experts/costs.ts).

import { FORMATS } from "../../kernels/formats/index.ts";
import { type CpuOptions, createCpuExperts } from "../backend/cpu/cpu.ts";
import type { WebGpuOps } from "../backend/webgpu/webgpu.ts";
import { calibrate, calibrateHost } from "../experts/calibrate.ts";
import { CLOCK } from "../experts/clock.ts";
import type { ExpertShape } from "../tensor/record.ts";
import { parseSynthetic } from "../weights/synthetic.ts";

/** Mixtral 8x7B's expert at q4: 99 MB. */
const SHAPE: ExpertShape = { count: 1, hidden: 4096, intermediate: 14336, up: FORMATS.q4, down: FORMATS.q4 };
const MODEL = "synthetic:mixtral-8x7b?layers=1";

/** Times in ms for one expert of `bytes` bytes. */
export interface ExpertRates {
  readonly bytes: number;
  /** On the CPU, for one token and for each of many. */
  readonly cpu: { readonly one: number; readonly each: number };
  /** To a GPU, and asking it whether it is done; null where there is none. */
  readonly gpu: { readonly upload: number; readonly sync: number } | null;
}

/** Takes a second or two. @param ops an open WebGPU backend, or null @throws MemoryError, DeviceError, RequestError */
export async function measureExperts(
  cpu: Omit<CpuOptions, "maxTokens" | "deviceName">,
  ops: WebGpuOps | null,
): Promise<ExpertRates> {
  const { source } = parseSynthetic(MODEL);
  const matrix = (name: string) => source.matrix(`model.layers.0.block_sparse_moe.experts.0.${name}.weight`);
  const host = await createCpuExperts(SHAPE, 1, cpu);
  try {
    await host.convert({ w1: matrix("w1"), w2: matrix("w2"), w3: matrix("w3") }, 0);
    const measured = { host, slot: 0, clock: CLOCK };
    if (!ops) return { bytes: host.recordBytes, cpu: calibrateHost(host, 0, CLOCK), gpu: null };
    const device = await ops.deviceExperts(SHAPE, 1, 1, 1);
    const { host: computing, copy, link, sync } = await calibrate({ ...measured, device });
    return { bytes: host.recordBytes, cpu: computing, gpu: { upload: Math.max(copy, link), sync } };
  } finally {
    host.close();
  }
}
