// Profiles decoding and prompts on WebGPU: the same steps untouched and with every kernel timed.

import type { PackableName } from "../kernels/formats/index.ts";
import type { BackendInfo, BackendMemory, KvPrecision } from "../src/backend/ops.ts";
import type { Counters } from "../src/backend/webgpu/device/device.ts";
import type { CopyBandwidth, Profile } from "../src/backend/webgpu/dispatch/profile.ts";
import type { GpuExperts } from "../src/backend/webgpu/weights/space.ts";
import { MemoryError } from "../src/errors.ts";
import { routingOf } from "../src/model/family.ts";
import type { Case } from "./cases.ts";
import type { Steps, StepsOptions } from "./steps.ts";

/** Warm-up tokens: one more than the most in flight. */
const WARM_UP = 5;
/** Measured runs of tokens, or prompts; one more is profiled. */
const ROUNDS = 3;

export interface ProfileOptions extends StepsOptions {
  /** A weights folder or synthetic:... */
  readonly model: string;
  /** In the order in which they are measured. */
  readonly cases: readonly Case[];
  /** Tokens of a run that is measured: three times without timestamps, once with. */
  readonly tokens: number;
  /** Starts no further case after this many milliseconds. */
  readonly budgetMs?: number;
  readonly onCase?: (done: ProfileCase, report: ProfileReport) => void;
}

/** One line of a profile. Everything is for one step: a decoded token, or a whole prompt. */
export interface KernelRow {
  readonly kernel: string;
  readonly calls: number;
  readonly ms: number | null;
  /** Share of the time of all kernels. */
  readonly share: number | null;
  readonly bytes: number;
  readonly bytesPerSecond: number | null;
  readonly flopsPerSecond: number | null;
  /** bytesPerSecond, relative to the copy bandwidth. */
  readonly ofCopy: number | null;
  /** Standard error of ms by the grain of the timestamps. */
  readonly errorMs: number | null;
}

export interface ProfileCase extends Case {
  /** Wall time of an untouched step: the median of a few runs, and each run. */
  readonly stepMs: number;
  readonly samples: readonly number[];
  readonly tokensPerSecond: number;
  /** weightBytes in stepMs, relative to the copy bandwidth: by the clock, without timestamps. */
  readonly weightsOfCopy: number;
  /** The same with one pass and two timestamps for each kernel, and the difference. */
  readonly profiledStepMs: number;
  readonly addedMs: number;
  /** In the profiled steps: the time of all kernels, and from the first start to the last end. */
  readonly kernelMs: number | null;
  readonly spanMs: number | null;
  /** What timestamps were multiples of, in ns: large where a page's are coarse. Null: none. */
  readonly grainNs: number | null;
  readonly kernels: readonly KernelRow[];
  /** In an untouched step. */
  readonly dispatches: number;
  /** Dispatches of each layer; null below three layers, where they cannot be separated. */
  readonly dispatchesPerLayer: number | null;
  readonly submits: number;
  readonly readbacks: number;
  readonly bytesRead: number;
  readonly weightBytes: number;
  /**
   * The matrices that the step's tokens need, each once, without embedding rows. An upper limit,
   * because the tokens of a prompt may share experts.
   */
  readonly leastWeightBytes: number;
  /** Buffers, bind groups and pipelines created in the measured steps, after the warm-up. */
  readonly created: number;
}

export interface ProfileReport {
  readonly model: string;
  readonly backend: BackendInfo;
  readonly weights: PackableName;
  readonly kv: KvPrecision;
  readonly layers: number;
  readonly chunk: number;
  readonly loadMs: number;
  readonly memory: BackendMemory;
  /** The copy kernel in this run: the upper limit for a kernel's bandwidth. */
  readonly copy: CopyBandwidth;
  /** The tuner's choices. */
  readonly tuned: Steps["tuned"];
  readonly cases: readonly ProfileCase[];
  /** Cases that the time budget left out. */
  readonly skipped: readonly string[];
  /** Cases for which the memory was too small. */
  readonly failed: readonly { readonly name: string; readonly error: string }[];
}

/** Measures the cases one after the other. @throws DeviceError */
export async function profile(steps: Steps, options: ProfileOptions): Promise<ProfileReport> {
  const { model, weights, kv, chunk, tokens, budgetMs = Number.POSITIVE_INFINITY } = options;
  const until = performance.now() + budgetMs;
  const cases: ProfileCase[] = [];
  const skipped: string[] = [];
  const failed: { name: string; error: string }[] = [];
  const copy = await steps.ops.profiling.copyBandwidth();
  const report = (): ProfileReport => ({
    model,
    backend: steps.ops.info,
    weights,
    kv,
    layers: steps.architecture.layers.length,
    chunk,
    loadMs: steps.loadMs,
    memory: steps.ops.memory(),
    copy,
    tuned: steps.tuned,
    cases: [...cases],
    skipped: [...skipped],
    failed: [...failed],
  });
  for (const one of options.cases) {
    if (performance.now() > until) {
      skipped.push(one.name);
      continue;
    }
    try {
      const done = await measure(steps, one, one.kind === "decode" ? tokens : 1, chunk, copy);
      cases.push(done);
      options.onCase?.(done, report());
    } catch (error) {
      if (!(error instanceof MemoryError)) throw error;
      failed.push({ name: one.name, error: error.message });
    }
  }
  return report();
}

async function measure(
  steps: Steps,
  wanted: Case,
  repeats: number,
  chunk: number,
  copy: CopyBandwidth,
): Promise<ProfileCase> {
  const { ops } = steps;
  const decode = wanted.kind === "decode";
  const each = decode ? repeats : 1; // steps in a sample
  if (decode) await steps.reserve(wanted.context + WARM_UP + (ROUNDS + 1) * repeats, wanted.tokens);
  else await steps.reserve(wanted.tokens);
  let at = wanted.context;
  /** Milliseconds of a step: a mean over a run of tokens, or the whole prompt. */
  const sample = async (count: number): Promise<number> => {
    const started = performance.now();
    if (decode) {
      await steps.decode(at, count, wanted.tokens);
      at += count;
    } else
      for (let first = 0; first < wanted.tokens; first += chunk) {
        const rows = Math.min(chunk, wanted.tokens - first);
        await steps.step(first, rows, first + rows === wanted.tokens);
      }
    return (performance.now() - started) / count;
  };
  await sample(decode ? WARM_UP : 1);
  const before = ops.counters();
  const samples: number[] = [];
  for (let i = 0; i < ROUNDS; i++) samples.push(await sample(each));
  const after = ops.counters();
  let profiledStepMs = 0;
  const found = await ops.profiling.run(async () => {
    profiledStepMs = await sample(each);
  });
  const stepMs = median(samples);
  const per = (counter: keyof Counters): number => (after[counter] - before[counter]) / (ROUNDS * each);
  const kernels = rows(found, each, copy.bytesPerSecond);
  return {
    ...wanted,
    stepMs,
    samples,
    tokensPerSecond: (1000 * wanted.tokens) / stepMs,
    weightsOfCopy: (1000 * per("weightBytes")) / stepMs / copy.bytesPerSecond,
    profiledStepMs,
    addedMs: profiledStepMs - stepMs,
    kernelMs: found.spanMs === null ? null : kernels.reduce((sum, { ms }) => sum + (ms ?? 0), 0),
    spanMs: found.spanMs === null ? null : found.spanMs / each,
    grainNs: found.grainNs,
    kernels,
    dispatches: per("dispatches"),
    dispatchesPerLayer: perLayer(kernels, steps.architecture.layers.length, decode),
    submits: per("submits"),
    readbacks: per("readbacks"),
    bytesRead: per("bytesRead"),
    weightBytes: per("weightBytes"),
    leastWeightBytes: leastWeightBytes(steps, wanted, chunk),
    created: ["buffersCreated", "bindGroupsCreated", "pipelinesCreated"]
      .map((counter) => after[counter as keyof Counters] - before[counter as keyof Counters])
      .reduce((sum, made) => sum + made, 0),
  };
}

function rows({ kernels, grainNs }: Profile, steps: number, copy: number): KernelRow[] {
  const all = kernels.reduce((sum, { ms }) => sum + (ms ?? 0), 0);
  return kernels.map(({ kernel, calls, ms, weightBytes, otherBytes, flops }) => {
    const bytes = weightBytes + otherBytes;
    const perSecond = (amount: number): number | null => (ms === null || ms === 0 ? null : (1000 * amount) / ms);
    const bytesPerSecond = perSecond(bytes);
    return {
      kernel,
      calls: calls / steps,
      ms: ms === null ? null : ms / steps,
      share: ms === null || all === 0 ? null : ms / all,
      bytes: bytes / steps,
      bytesPerSecond,
      flopsPerSecond: perSecond(flops),
      ofCopy: bytesPerSecond === null ? null : bytesPerSecond / copy,
      // Of two timestamps each is off by up to a grain, alike: a variance of a sixth a call.
      errorMs: grainNs === null ? null : (grainNs * Math.sqrt(calls / 6)) / 1e6 / steps,
    };
  });
}

/** Dispatches of each layer; those of only one layer, or once a step, round away. */
function perLayer(kernels: readonly KernelRow[], layers: number, decode: boolean): number | null {
  if (layers < 3 || !decode) return null;
  return kernels.reduce((sum, { calls }) => sum + Math.round(calls / layers), 0);
}

/**
 * See ProfileCase. The last layer's experts get only the rows with logits, and are not computed if
 * there are none.
 */
function leastWeightBytes({ model, architecture }: Steps, { kind, tokens }: Case, chunk: number): number {
  const { perToken: K, count: E } = routingOf(architecture);
  let bytes = 0;
  for (let first = 0; first < tokens; first += chunk) {
    const count = Math.min(chunk, tokens - first);
    const last = first + count === tokens ? 1 : 0;
    const outputs = kind === "decode" ? count : last;
    for (const [i, layer] of model.layers.entries()) {
      const rows = i === model.layers.length - 1 ? outputs : count;
      const { qkv, wo, outGate, latent, recurrence, router, experts, ffn } = layer;
      const own = latent ? [latent.q, latent.low?.b, latent.kv, latent.absorb, latent.expand] : qkv;
      for (const matrix of [...own, outGate, recurrence?.delta?.gates, wo]) bytes += matrix?.bytes ?? 0;
      if (rows === 0) continue;
      if (router) {
        const { w13, w2 } = experts as GpuExperts;
        bytes += router.gate.bytes + (Math.min(E, rows * K) / E) * (w13.bytes + w2.bytes);
      }
      if (ffn) bytes += ffn.bytes + (ffn.gate?.bytes ?? 0);
    }
    if (outputs > 0) bytes += model.head.bytes;
  }
  return bytes;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.floor(sorted.length / 2)]!) / 2;
}
