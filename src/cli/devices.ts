// `hotset devices`: lists the WebGPU adapters of this machine, with their limits, features, and
// whether they are software.

import { type Command, Option } from "commander";
import { PACKABLE, type PackableName } from "../../kernels/formats/index.ts";
import { hasSubgroups } from "../backend/webgpu/device/adapter.ts";
import { hasDawn, listAdapterNames, openNodeGpu } from "../backend/webgpu/device/node_gpu.ts";
import { HotsetError } from "../errors.ts";
import { type ExpertRates, type KernelChoices, measureExperts, measureKernels } from "../index.ts";
import { formatBytes } from "./output.ts";

interface AdapterReport {
  /** The name for --adapter. */
  readonly name: string;
  readonly driver: string;
  readonly software: boolean;
  /** Whether it is used by default. */
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
  /** The time that one expert takes, or the reason why it could not be measured. */
  readonly expert: ExpertRates | string;
  /** With --tune: which variants of kernels are fastest, or the reason why that is not known. */
  readonly tuned?: KernelChoices | string;
}

interface Options {
  readonly json?: true;
  readonly tune?: PackableName;
}

/** Adds the command to the program. */
export function addDevices(program: Command): void {
  program
    .command("devices")
    .description("list the WebGPU adapters of this machine, and measure what an expert takes on each and on the CPU")
    .option("--json", "one JSON object")
    .addOption(
      new Option(
        "--tune [format]",
        "find out which variants of kernels are fastest, with weights in q4 or this format: up to half a minute each",
      )
        .choices(PACKABLE)
        .preset("q4"),
    )
    .action(async (options: Options) => {
      const adapters = await listAdapters(options.tune);
      const cpu = await reported(() => measureExperts());
      const remedy = (await hasDawn())
        ? "install a GPU driver (Vulkan on Linux)"
        : "the optional package webgpu is not installed (npm install webgpu)";
      process.stdout.write(
        options.json ? `${JSON.stringify({ adapters, cpu }, null, 2)}\n` : text(adapters, cpu, remedy),
      );
    });
}

async function listAdapters(tune: PackableName | undefined): Promise<AdapterReport[]> {
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
        expert: await reported(() => measureExperts(name)),
        ...(tune && { tuned: await reported(() => measureKernels(name, tune)) }),
      });
    }
    await node?.release();
  }
  return reports;
}

/** Driver name of the default adapter. */
async function driverOf(): Promise<string | null> {
  const node = await openNodeGpu();
  await node?.release();
  return node?.name ?? null;
}

/** What was measured, or why it could not be. */
async function reported<T>(measure: () => Promise<T>): Promise<T | string> {
  try {
    return await measure();
  } catch (error) {
    if (!(error instanceof HotsetError)) throw error;
    return error.message;
  }
}

function text(adapters: readonly AdapterReport[], cpu: ExpertRates | string, remedy: string): string {
  const host = `CPU\n  expert      ${typeof cpu === "string" ? cpu : onCpu(cpu)}\n`;
  if (adapters.length === 0) return `no WebGPU adapter: ${remedy}; hotset runs on the CPU without one\n\n${host}`;
  const list = adapters
    .map(({ name, driver, software, limits, subgroups, features, ...rest }) => {
      // "auto" prefers the CPU backend to a software adapter.
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
        `  expert      ${typeof rest.expert === "string" ? rest.expert : toGpu(rest.expert)}`,
        ...(rest.tuned === undefined ? [] : choices(rest.tuned)),
        "",
      ].join("\n");
    })
    .join("\n");
  return `${list}\n${host}`;
}

function onCpu({ model, bytes, cpu }: ExpertRates): string {
  return `${model} at q4 (${formatBytes(bytes)}): computed in ${cpu.one.toFixed(1)} ms for one token (${formatBytes((1000 * bytes) / cpu.one)}/s), ${cpu.each.toFixed(1)} ms for each of many`;
}

function toGpu({ model, bytes, gpu }: ExpertRates): string {
  if (!gpu) return "not measured";
  return `${model} at q4 (${formatBytes(bytes)}): uploaded in ${gpu.upload.toFixed(1)} ms (${formatBytes((1000 * bytes) / gpu.upload)}/s); asking whether it is done ${gpu.sync.toFixed(2)} ms`;
}

/** A line for each choice. */
function choices(tuned: KernelChoices | string): string[] {
  if (typeof tuned === "string") return [`  tuned       ${tuned}`];
  const { model, weights, ms, timed, leftOut } = tuned;
  return [
    `  tuned       ${model} at ${weights}, in ${(ms / 1000).toFixed(1)} s`,
    ...timed.map(choice),
    ...leftOut.map((why) => `    left out: ${why}`),
  ];
}

/** "qkv q4 128 6144: qkv_vec q4 f32 subgroups 128x2, 0.010 ms (usual: ..., 0.012 ms)". */
function choice({ key, found, usual, tried }: KernelChoices["timed"][number]): string {
  const timeOf = (name: string): string => {
    const ms = tried.find((one) => one.name === name)?.ms;
    return ms == null ? `${name}, not timed` : `${name}, ${ms.toFixed(3)} ms`;
  };
  return `    ${key}: ${timeOf(found)}${found === usual ? "" : ` (usual: ${timeOf(usual)})`}`;
}
