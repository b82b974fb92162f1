// The adapter that the browser gives, and what is measured on it.

import { PACKABLE, type PackableName } from "../../kernels/formats/index.ts";
import { describeAdapter, requestAdapter } from "../../src/backend/webgpu/device/adapter.ts";
import { DeviceError } from "../../src/errors.ts";
import type { AdapterFacts, Plan } from "./types.ts";

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupsPerDimension",
] as const satisfies readonly (keyof GPUSupportedLimits)[];

/** Layers that the page offers; one in q4 takes 0.8 GB. */
export const LAYERS = [1, 2, 4, 8, 16, 32] as const;
/** What says most comes first, what takes long last. */
const CASES = "1@0,p512,16@0,4@0,64@0,2@0,8@0,32@0,1@4096,p128,p32,1@32000,p2048,16@4096";
/** The suite with all that the adapter has, in each arithmetic, and kernels for a few rows. */
const CONFORMANCE = "(?<!robust) conforms > |forms of a GPU";

/** @throws DeviceError without an adapter */
export async function adapterFacts(): Promise<AdapterFacts> {
  const gpu: GPU | undefined = navigator.gpu;
  if (!gpu) throw new DeviceError("this browser has no WebGPU, or the page is not on https:// or localhost");
  const adapter = await requestAdapter(gpu);
  const { info, limits, features } = adapter;
  return {
    ...describeAdapter(adapter),
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    subgroups: features.has("subgroups") ? [info.subgroupMinSize, info.subgroupMaxSize] : null,
    limits: Object.fromEntries(LIMITS.map((name) => [name, limits[name]])),
    features: [...features].sort(),
    language: [...gpu.wgslLanguageFeatures].sort(),
  };
}

/** Gigabytes of the machine, as far as the browser says: 8 at most. */
export function memoryGb(): number | null {
  return (navigator as { deviceMemory?: number }).deviceMemory ?? null;
}

/**
 * Layers that should fit. WebGPU does not say how much memory there is: a small one of the machine
 * is a hint, and so are small buffers.
 */
function layersFor({ software, limits }: AdapterFacts): number {
  if (software) return 1;
  if (limits.maxBufferSize! < 2 ** 31 || (memoryGb() ?? 8) < 8) return 2;
  return 4;
}

/**
 * The plan for an adapter, but for what the page's address says otherwise: `model`, `layers`,
 * `weights`, `cases`, `tokens`, `conformance`, `minutes`.
 */
export function planFor(facts: AdapterFacts, asked: URLSearchParams): Plan {
  const number = (name: string, fallback: number): number => {
    const value = Number(asked.get(name) ?? fallback);
    return Number.isInteger(value) && value > 0 ? value : fallback;
  };
  const weights = (asked.get("weights")?.split(",") ?? ["q4", "q4_k"]).filter((name): name is PackableName =>
    (PACKABLE as readonly string[]).includes(name),
  );
  return {
    model: asked.get("model") ?? "synthetic:mixtral-8x7b?layers=LAYERS",
    layers: number("layers", layersFor(facts)),
    weights,
    cases: asked.get("cases") ?? (facts.software ? "1@0,p32" : CASES),
    tokens: number("tokens", facts.software ? 2 : 16),
    conformance: asked.get("conformance") ?? CONFORMANCE,
    minutes: number("minutes", 10),
  };
}
