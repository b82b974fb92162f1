// The WebGPU adapters that tests run on: the software ones of this machine, or whatever
// adapter it has.

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { it } from "vitest";
import { listAdapterNames, openNodeGpu } from "../../src/backend/webgpu/device/node_gpu.ts";
import { createWebGpuOps, type WebGpuOps, type WebGpuOptions } from "../../src/backend/webgpu/webgpu.ts";
import { titled } from "./fixtures.ts";
import { ALL, EVERYTHING } from "./level.ts";

const MESA = "/usr/share/vulkan/icd.d";
const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";

const LEFT_TO_PAGE = "a page runs it on this driver, which is slow (here too: HOTSET_ALL_TESTS=1)";
const LEFT_TO_FASTER = "skipped: slow here, and run on llvmpipe (here too: HOTSET_ALL_TESTS=1)";

/**
 * Drivers of the installed software adapters: llvmpipe (f16, subgroups of 8) and SwiftShader (no
 * f16, subgroups of 4, seven times slower). A plain `npm test` uses only the first.
 */
function softwareDrivers(): string[] {
  const mesa = existsSync(MESA) ? readdirSync(MESA).filter((name) => /^lvp_icd.*\.json$/.test(name)) : [];
  const installed = [...mesa.map((name) => join(MESA, name)), SWIFTSHADER].filter(existsSync);
  return EVERYTHING ? installed : installed.slice(0, 1);
}

// Read by the Vulkan loader when the first adapter is requested. So tests are the same everywhere.
const drivers = softwareDrivers();
if (drivers.length > 0) process.env.VK_DRIVER_FILES ??= drivers.join(":");

export interface TestAdapter {
  readonly name: string;
  readonly features: ReadonlySet<string>;
  /**
   * Why tests are skipped that a page runs on the same driver (test/browser/conformance.test.ts).
   */
  readonly leftToPage?: string | undefined;
  /**
   * Why tests are skipped that show nothing of this adapter beyond what the conformance suite does.
   */
  readonly leftToFaster?: string | undefined;
  /**
   * `robust`: with the checks of a page's kernels (see openNodeGpu); default false, as in Node.
   */
  open(options: WebGpuOptions & { readonly robust?: boolean | "unzeroed" }): Promise<WebGpuOps>;
}

/** An adapter's features. */
async function featuresOf(name: string): Promise<ReadonlySet<string>> {
  const node = await openNodeGpu(name);
  const adapter = await node?.gpu.requestAdapter();
  const features = new Set<string>(adapter?.features ?? []);
  await node?.release();
  return features;
}

const opener = (name: string): Pick<TestAdapter, "open"> => ({
  async open({ robust, ...options }) {
    const node = await openNodeGpu(name, robust);
    if (!node) throw new Error(`adapter ${name} was listed and could not be opened`);
    return createWebGpuOps(node.gpu, { ...options, onClose: () => void node.release() });
  },
});

const names = (await listAdapterNames()).slice(0, EVERYTHING ? undefined : 1);
const isSlow = (name: string): boolean => !ALL && /swiftshader/i.test(name);

/** Adapters to test on; empty on a machine without one. */
export const adapters: readonly TestAdapter[] = await Promise.all(
  names.map(async (name) => ({
    name,
    features: await featuresOf(name),
    leftToPage: isSlow(name) && existsSync(SWIFTSHADER) ? LEFT_TO_PAGE : undefined,
    leftToFaster: isSlow(name) && names.length > 1 ? LEFT_TO_FASTER : undefined,
    ...opener(name),
  })),
);

/**
 * The adapters for what lies above the kernels: models, sessions, slots. Where there are two
 * software drivers, not the slower one: what is its own are the kernels, which the conformance
 * suite runs there, and pages open models on it. A skipped test names it: call this where the tests
 * are declared.
 */
export function usualAdapters(): readonly TestAdapter[] {
  for (const { name, leftToFaster } of adapters)
    if (leftToFaster) it.skip(titled(`on webgpu ${name}`, leftToFaster), () => {});
  return adapters.filter(({ leftToFaster }) => !leftToFaster);
}

/**
 * Whether tests that need an adapter are skipped. With CI=true they run and fail instead.
 */
export const noAdapter = adapters.length === 0 && process.env.CI !== "true";
export const NO_ADAPTER = "skipped: this machine has no WebGPU adapter (npm test installs one on Debian, as root)";
