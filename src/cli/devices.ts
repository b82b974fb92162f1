// `hotset devices`: the WebGPU adapters of this machine, what they allow and offer, and whether they are software.

import type { Command } from "commander";
import { hasSubgroups } from "../backend/webgpu/adapter.ts";
import { listAdapterNames, openNodeGpu } from "../backend/webgpu/node_gpu.ts";
import { formatBytes } from "./output.ts";

interface AdapterReport {
  /** What --adapter takes. */
  readonly name: string;
  readonly driver: string;
  readonly software: boolean;
  /** The one that is used when nothing is said. */
  readonly default: boolean;
  readonly subgroups: { readonly used: boolean; readonly min: number; readonly max: number } | null;
  readonly limits: {
    readonly maxStorageBufferBindingSize: number;
    readonly maxBufferSize: number;
    readonly maxStorageBuffersPerShaderStage: number;
    readonly maxComputeWorkgroupStorageSize: number;
    readonly maxComputeInvocationsPerWorkgroup: number;
  };
  readonly features: readonly string[];
}

/** Adds the command to the program. */
export function addDevices(program: Command): void {
  program
    .command("devices")
    .description("list the WebGPU adapters of this machine")
    .option("--json", "one JSON object")
    .action(async (options: { json?: true }) => {
      const adapters = await listAdapters();
      process.stdout.write(options.json ? `${JSON.stringify({ adapters }, null, 2)}\n` : text(adapters));
    });
}

async function listAdapters(): Promise<AdapterReport[]> {
  const preferred = await driverOf();
  const reports: AdapterReport[] = [];
  for (const name of await listAdapterNames()) {
    const node = await openNodeGpu(name);
    const adapter = await node?.gpu.requestAdapter();
    if (node && adapter) {
      const { limits, info, features } = adapter;
      reports.push({
        name,
        driver: node.name,
        software: node.software,
        default: node.name === preferred,
        subgroups: features.has("subgroups")
          ? { used: hasSubgroups(node.gpu, adapter), min: info.subgroupMinSize, max: info.subgroupMaxSize }
          : null,
        limits: {
          maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
          maxBufferSize: limits.maxBufferSize,
          maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
          maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
          maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
        },
        features: [...features].sort(),
      });
    }
    await node?.release();
  }
  return reports;
}

/** Driver name of the adapter that is used when none is asked for. */
async function driverOf(): Promise<string | null> {
  const node = await openNodeGpu();
  await node?.release();
  return node?.name ?? null;
}

function text(adapters: readonly AdapterReport[]): string {
  if (adapters.length === 0)
    return "no WebGPU adapter: install a GPU driver (Vulkan on Linux); hotset runs on the CPU without one\n";
  return adapters
    .map(({ name, driver, software, limits, subgroups, features, ...rest }) => {
      // "auto" prefers our own CPU backend to a GPU that is computed on the CPU.
      const chosen = software ? "default of --backend webgpu" : "default";
      const kind = [software ? "software, computed on the CPU" : "hardware", ...(rest.default ? [chosen] : [])];
      const lanes = subgroups ? `${subgroups.min}..${subgroups.max}${subgroups.used ? "" : " (not used)"}` : "none";
      return [
        `${name} (${kind.join("; ")})`,
        `  driver      ${driver}`,
        `  binding     ${formatBytes(limits.maxStorageBufferBindingSize)} at most, of a buffer of ${formatBytes(limits.maxBufferSize)}`,
        `  workgroup   ${limits.maxComputeInvocationsPerWorkgroup} invocations, ${formatBytes(limits.maxComputeWorkgroupStorageSize)} of memory, ${limits.maxStorageBuffersPerShaderStage} storage buffers`,
        `  subgroups   ${lanes}`,
        `  features    ${features.join(", ")}`,
        "",
      ].join("\n");
    })
    .join("\n");
}
