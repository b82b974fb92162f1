// The CPU backend: SIMD kernels on several threads if the platform has WebAssembly SIMD, else the
// plain ones.

import { DeviceError, RequestError } from "../../errors.ts";
import type { PanelWorkOf } from "../../tensor/load.ts";
import type { ExpertShape } from "../../tensor/record.ts";
import type { HostExperts } from "../experts.ts";
import type { Observer, Ops } from "../ops.ts";
import { Heap } from "./heap.ts";
import { type InstructionSet, instructionSets } from "./instruction_set.ts";
import { KernelModules } from "./modules.ts";
import { Packer } from "./packer.ts";
import { createPlainOps } from "./plain/plain.ts";
import { Pool, type PoolWorker } from "./pool.ts";
import { createSimdOps } from "./simd.ts";
import { SimdExpertSlots } from "./simd_experts.ts";
import { type HeapLimits, heapsFor, SimdHeaps } from "./simd_heaps.ts";
import { AHEAD_BYTES } from "./simd_load.ts";
import { SimdProducts } from "./simd_products.ts";

export interface CpuOptions {
  readonly maxTokens: number;
  /** Threads, including the caller's; default 1. */
  readonly threads?: number;
  /**
   * Continues with fewer threads if a worker cannot be started, instead of failing. Default false.
   */
  readonly fewerThreads?: boolean;
  /** Processor name for info.device; unknown in a browser. */
  readonly deviceName?: string;
  /** Starts a worker. Without it, or without shared memory, one thread computes. */
  readonly startWorker?: () => PoolWorker;
  /** "plain", or a build of the SIMD kernels; default: the best that runs here. */
  readonly instructions?: InstructionSet | "plain";
  /**
   * Whether q8 and q4 weights are multiplied by activations rounded to int8 (the
   * default), or exactly.
   */
  readonly activations?: "int8" | "f32";
  /** Sees the inputs of matrices, not of experts that are offloaded. */
  readonly observer?: Observer;
  /** Limits of each WebAssembly memory, for tests. */
  readonly limits?: Partial<HeapLimits>;
  /** What startCpu() has started for these options; it then belongs to the backend. */
  readonly started?: StartedCpu | null;
}

type ThreadOptions = Pick<CpuOptions, "threads" | "startWorker" | "fewerThreads">;

/** Threads, a memory and kernels of a backend that is not there yet. */
export interface StartedCpu {
  readonly parts: ReturnType<typeof start>;
  /** Ends the threads where no backend has taken them. */
  close(): Promise<void>;
}

/**
 * Starts what the backend needs whatever it will compute, while its model's files are looked at;
 * null where that is nothing.
 */
export function startCpu({ threads = 1, startWorker, fewerThreads }: ThreadOptions): StartedCpu | null {
  const [instructions] = instructionSets();
  if (instructions === undefined) return null;
  const parts = start(instructions, threads, startWorker, fewerThreads);
  parts.catch(() => {}); // thrown by createCpuOps()
  const close = async (): Promise<void> => {
    const made = await parts.catch(() => null);
    made?.pool.close();
    made?.home.close();
  };
  return { parts, close };
}

/**
 * @throws RequestError for an instruction set that does not run here, MemoryError if no shared
 * memory can be reserved
 */
export async function createCpuOps(options: CpuOptions): Promise<Ops> {
  const { maxTokens, threads = 1, deviceName = "CPU", startWorker, activations = "int8", limits, observer } = options;
  const present = instructionSets();
  const instructions = options.instructions ?? present[0] ?? "plain";
  if (instructions === "plain") return createPlainOps(maxTokens, deviceName, observer);
  if (!present.includes(instructions))
    throw new RequestError(
      `instructions: ${instructions} does not run here; there are ${[...present, "plain"].join(", ")}`,
    );
  const { modules, home, pool } =
    (await options.started?.parts) ?? (await start(instructions, threads, startWorker, options.fewerThreads));
  return createSimdOps({ maxTokens, deviceName, instructions, activations, modules, home, pool, limits, observer });
}

/**
 * Slots for experts in RAM and the arithmetic on them, beside a backend that computes elsewhere.
 * @throws MemoryError; RequestError without WebAssembly SIMD
 */
export async function createCpuExperts(
  shape: ExpertShape,
  slots: number,
  options: Omit<CpuOptions, "maxTokens" | "deviceName">,
): Promise<HostExperts> {
  const [experts] = await createCpuExpertClasses([{ shape, slots }], options);
  return experts!;
}

/**
 * The same for experts of several shapes, on the same threads. close() of one closes all of them.
 */
export async function createCpuExpertClasses(
  classes: readonly { readonly shape: ExpertShape; readonly slots: number }[],
  options: Omit<CpuOptions, "maxTokens" | "deviceName">,
): Promise<HostExperts[]> {
  const { threads = 1, startWorker, activations = "int8", limits } = options;
  const [instructions] = instructionSets();
  if (!instructions) throw new RequestError("experts in RAM need WebAssembly SIMD, which this platform lacks");
  const { modules, home, pool } = await start(instructions, threads, startWorker, options.fewerThreads);
  const heaps = new SimdHeaps(modules, home, pool, limits);
  let closed = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    pool.close();
    heaps.close();
  };
  try {
    const products = new SimdProducts(heaps, home, activations === "int8");
    const made: HostExperts[] = [];
    for (const { shape, slots } of classes)
      made.push(await SimdExpertSlots.create(shape, slots, heaps, home, products, close));
    return made;
  } catch (error) {
    close();
    throw error;
  }
}

/**
 * Packs weights into panels and records, without a model. @throws DeviceError without WebAssembly
 * SIMD, MemoryError
 */
export async function createPacker(options: ThreadOptions) {
  const { threads = 1, startWorker, fewerThreads } = options;
  const [instructions] = instructionSets();
  if (instructions === undefined)
    throw new DeviceError("weights are packed with WebAssembly SIMD, which this runtime lacks or was told not to use");
  const { modules, home, pool } = await start(instructions, threads, startWorker, fewerThreads);
  return new Packer(new SimdHeaps(modules, home, pool), home);
}

/**
 * A packer for a backend that computes elsewhere: it starts with the first work, and there is none
 * without WebAssembly SIMD.
 */
export function panelWorker(options: Pick<CpuOptions, "threads" | "startWorker">) {
  let packer: Promise<Packer> | null = null;
  const workOf: PanelWorkOf | undefined = hasExpertSlots()
    ? async (format) => {
        packer ??= createPacker({ ...options, fewerThreads: true });
        return (await packer).work(format);
      }
    : undefined;
  const close = async (): Promise<void> => (await packer?.catch(() => null))?.close();
  return { workOf, close };
}

/**
 * Working memory to read blocks of a file ahead, within a budget: each heap has its own, for
 * matrices of at most `largest` bytes.
 */
export function stagingBytes(budget: number, largest: number): number {
  return Math.min(AHEAD_BYTES, 2 * largest) * heapsFor(budget);
}

/** Whether this platform's CPU can offload experts. */
export function hasExpertSlots(): boolean {
  return instructionSets().length > 0;
}

/** A first heap, and threads that run kernels in it. */
async function start(
  instructions: InstructionSet,
  threads: number,
  startWorker: CpuOptions["startWorker"],
  fewer: boolean | undefined = false,
) {
  const modules = new KernelModules(instructions);
  const module = await modules.base();
  const home = await Heap.create(module);
  // A page that is not cross-origin isolated can create a shared memory, but not send it
  // to a worker.
  const sendable = typeof SharedArrayBuffer === "function" && globalThis.crossOriginIsolated !== false;
  const starter = sendable && startWorker ? startWorker : null;
  return { modules, home, pool: new Pool(module, home, threads, starter, undefined, fewer) };
}
