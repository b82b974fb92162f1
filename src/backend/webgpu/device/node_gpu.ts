// WebGPU in Node: the optional npm package `webgpu` (Dawn), held for as long as it is
// used. Node only.

import { describeAdapter } from "./adapter.ts";
import { pausePolling } from "./node_polling.ts";

/** A WebGPU implementation that has an adapter, and its release. */
export interface NodeGpu {
  readonly gpu: GPU;
  /** Name of the adapter that requestAdapter() gives. */
  readonly name: string;
  /** Whether that adapter is computed on the CPU. */
  readonly software: boolean;
  /** Lets go of it; after the last release the process can exit by itself. Safe to call twice. */
  release(): Promise<void>;
}

/**
 * Checks that Dawn adds to kernels and that ours do not need, so they run without; what a page's
 * kernels always have.
 *   disable_workgroup_init   workgroup memory is not zeroed: no kernel reads what it has not
 *                            written. Compiling the zeroing takes one software adapter seconds a
 *                            pipeline (5.2 s against 0.2 s)
 *   disable_robustness       indices are not clamped: no kernel reads or writes outside a buffer
 *   disable_polyfills_on_integer_div_and_mod   no kernel divides by zero
 *   use_vulkan_memory_model  asked of subgroup matrices, no loss elsewhere
 * Validation of commands stays: it costs 0.2 us a dispatch, and errors of the device are promised
 * to be typed.
 */
const UNZEROED = "disable_workgroup_init";
const RELEASE = [UNZEROED, "disable_robustness", "disable_polyfills_on_integer_div_and_mod", "use_vulkan_memory_model"];

/**
 * What an adapter has to be asked for: Dawn hides shader-f16 on NVIDIA under Vulkan otherwise, and
 * matrix units, an experiment, everywhere.
 */
const ALWAYS = ["vulkan_enable_f16_on_nvidia", "allow_unsafe_apis"];

interface Held {
  readonly gpu: GPU;
  users: number;
}

// What create() returns must stay referenced while it is in use (collected, it ends in a segfault),
// and must not stay referenced afterwards (the process would never exit). On globalThis, so that
// two copies of this module share it.
const PINNED = Symbol.for("hotset.webgpu");
const pins = globalThis as { [PINNED]?: Map<string, Held> };

/**
 * Opens the machine's WebGPU.
 * @param adapterName part of the name of the adapter to use, as "llvmpipe"; default: what the
 * platform prefers
 * @param robust kernels with all of the platform's checks, as pages have them; "unzeroed": but for
 * workgroup memory, which is not zeroed: for tests
 * @returns null where the package is not installed (it is optional) or there is no adapter of that
 * name
 */
export async function openNodeGpu(adapterName?: string, robust: boolean | "unzeroed" = false): Promise<NodeGpu | null> {
  const dawn = await loadDawn();
  if (!dawn) return null;
  const left = robust === true ? [] : robust === "unzeroed" ? [UNZEROED] : RELEASE;
  const key = `${adapterName ?? ""} ${left}`;
  pins[PINNED] ??= new Map();
  const held = pins[PINNED].get(key) ?? {
    gpu: dawn.create([
      `enable-dawn-features=${[...ALWAYS, ...left]}`,
      "disable-dawn-features=timestamp_quantization", // to 65 us, longer than most kernels take
      ...(adapterName ? [`adapter=${adapterName}`] : []),
    ]),
    users: 0,
  };
  pins[PINNED].set(key, held);
  held.users++;
  let released = false;
  let endPause: (() => Promise<void>) | null = null;
  const release = async (): Promise<void> => {
    if (released) return;
    released = true;
    await endPause?.();
    held.users--;
    if (held.users > 0) return;
    pins[PINNED]?.delete(key);
  };
  const adapter = await held.gpu.requestAdapter({ powerPreference: "high-performance" }).catch((error: unknown) => {
    // Dawn throws where no adapter has the name; anything else is worth knowing.
    if (/no suitable backends/.test(String(error))) return null;
    throw error;
  });
  if (!adapter) {
    await release();
    return null;
  }
  const info = describeAdapter(adapter);
  if (info.software) endPause = pausePolling();
  return { gpu: held.gpu, ...info, release };
}

/**
 * Names of all adapters of this machine; empty where there are none or the package
 * is not installed.
 */
export async function listAdapterNames(): Promise<string[]> {
  const dawn = await loadDawn();
  if (!dawn) return [];
  // Dawn has no call for this, but lists them all when asked for one that does not exist.
  const held: Held = { gpu: dawn.create(["adapter=no adapter has this name"]), users: 1 };
  pins[PINNED] ??= new Map();
  pins[PINNED].set("list of adapters", held);
  const answer = await held.gpu.requestAdapter().then(() => "", String);
  pins[PINNED].delete("list of adapters");
  return [...answer.matchAll(/name: '([^']*)'/g)].map((match) => match[1]!);
}

/** Whether the optional package is installed, with a binary for this platform. */
export async function hasDawn(): Promise<boolean> {
  return (await loadDawn()) !== null;
}

async function loadDawn(): Promise<{ create(options: string[]): GPU } | null> {
  try {
    // Not a bundler's: on a server it would look for the binary of every platform.
    return await import(/* webpackIgnore: true */ /* turbopackIgnore: true */ "webgpu");
  } catch {
    return null; // not installed, or no binary for this platform
  }
}
