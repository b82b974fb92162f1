// Measures the times to compute and to move one expert, on which offloading decisions rest
// (experts/costs.ts), and which variants of kernels are fastest.

import { FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import { type CpuOptions, createCpuExperts } from "../backend/cpu/cpu.ts";
import type { Solved } from "../backend/webgpu/tuning/problem.ts";
import type { WebGpuOps } from "../backend/webgpu/webgpu.ts";
import { calibrate, calibrateHost } from "../experts/calibrate.ts";
import { CLOCK } from "../experts/clock.ts";
import { loadDecoder } from "../model/decoder.ts";
import { bindSources, readArchitecture } from "../model/families/index.ts";
import { expertShape, keep } from "../model/formats.ts";
import { parseSynthetic } from "../weights/synthetic.ts";
import { MEASURED } from "../weights/synthetic_shapes.ts";

/** Times in ms for one expert of `bytes` bytes. */
export interface ExpertRates {
  /** The model of the expert, in q4. */
  readonly model: string;
  /** Of one expert. */
  readonly bytes: number;
  /** Computing on the CPU, for one token and for each of many. */
  readonly cpu: { readonly one: number; readonly each: number };
  /** Uploading to a GPU, and asking it whether it is done; null without one. */
  readonly gpu: { readonly upload: number; readonly sync: number } | null;
}

/** Which variants of kernels are used for a model. */
export interface KernelChoices {
  /** The model whose layers they were timed on. */
  readonly model: string;
  /** The format of its matrices. */
  readonly weights: string;
  /** What the measuring took. */
  readonly ms: number;
  /** Problem -> variant, as the tuner has them. */
  readonly found: Readonly<Record<string, unknown>>;
  /** What was timed for each. */
  readonly timed: readonly Solved[];
  /** Variants that the device does not take, with the reason. */
  readonly leftOut: readonly string[];
}

/** Two experts: as many as a token uses. Few rows of the head: variants are chosen by columns. */
const TIMED = `${MEASURED.url}&num_local_experts=2&vocab_size=4096`;

/**
 * Times variants of kernels on one layer, whatever was found before: up to half a minute.
 * @throws MemoryError, DeviceError
 */
export async function measureKernels(ops: WebGpuOps, weights: PackableName = "q4"): Promise<KernelChoices> {
  const { config, source } = parseSynthetic(TIMED);
  const architecture = readArchitecture(config, TIMED);
  const plan = keep(FORMATS[weights]);
  const { layers } = await loadDecoder(ops, architecture, bindSources(architecture, source), { plan });
  const started = performance.now();
  let found: Readonly<Record<string, unknown>> = {};
  const store = {
    read: async () => null,
    async write(_: string, text: string) {
      found = JSON.parse(text);
    },
  };
  const timed = await ops.tune(store, { layers });
  const ms = performance.now() - started;
  return { model: MEASURED.title, weights, ms, found, timed, leftOut: ops.info.leftOut ?? [] };
}

/**
 * Takes a second or two.
 * @param ops an open WebGPU backend, or null
 * @throws MemoryError, DeviceError, RequestError
 */
export async function measureExperts(
  cpu: Omit<CpuOptions, "maxTokens" | "deviceName">,
  ops: WebGpuOps | null,
): Promise<ExpertRates> {
  const { url, title: model } = MEASURED;
  const { config, source } = parseSynthetic(url);
  const architecture = readArchitecture(config, url);
  const [layer] = bindSources(architecture, source).layers;
  const shape = { ...expertShape(layer!, keep(FORMATS.q4), 0), count: 1 };
  const host = await createCpuExperts(shape, 1, cpu);
  try {
    await host.convert(layer!.experts[0]!, 0);
    const measured = { host, slot: 0, clock: CLOCK };
    if (!ops) return { model, bytes: host.recordBytes, cpu: calibrateHost(host, 0, CLOCK), gpu: null };
    const device = await ops.deviceExperts(shape, 1, 1, 1);
    const { host: computing, copy, link, sync } = await calibrate({ ...measured, device });
    return { model, bytes: host.recordBytes, cpu: computing, gpu: { upload: Math.max(copy, link), sync } };
  } finally {
    host.close();
  }
}
