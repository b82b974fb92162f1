// A layer's experts in slots of a WebGPU backend and the same experts loaded, and schedulers that
// handle misses in every way.

import { FORMATS, type FormatName } from "../../kernels/formats/index.ts";
import type { DeviceExperts, DeviceMoe, DevicePlace, DeviceScheduler } from "../../src/backend/experts.ts";
import { NO_SLOT } from "../../src/backend/experts.ts";
import type { ExpertRule, Experts, Matrix, Vector } from "../../src/backend/ops.ts";
import type { WebGpuOps } from "../../src/backend/webgpu/webgpu.ts";
import type { ExpertShape } from "../../src/tensor/record.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import { type ExpertData, expertSource, held, memorySource } from "./memory_source.ts";
import { generator, uniform } from "./random.ts";
import { type HostExpert, hostExpert, recordOf } from "./records.ts";
import * as reference from "./reference.ts";
import { batchOf, inputTable } from "./steps.ts";

export interface Sizes {
  readonly E: number;
  readonly K: number;
  readonly D: number;
  readonly F: number;
  readonly slots: number;
  readonly transit: number;
  /** The format of w1 and w3, and of w2 without `down`. */
  readonly precision: FormatName;
  readonly down?: FormatName;
  /** Experts of gpt-oss's activation, with biases; else silu without. */
  readonly biased?: boolean;
}

/** Tokens of the input table. */
export const TOKENS = 48;

/** The experts in one layer's slots, in step with the device. */
export class Residents {
  readonly table: Uint32Array; // [E]
  readonly #device: DeviceExperts;
  readonly #layer: number;
  readonly #records: readonly Uint8Array[];

  constructor(device: DeviceExperts, layer: number, records: readonly Uint8Array[]) {
    this.#device = device;
    this.#layer = layer;
    this.#records = records;
    this.table = new Uint32Array(records.length).fill(NO_SLOT);
  }

  /** Puts an expert into a slot, evicting the one in it, in pieces of a record. */
  put(expert: number, slot: number, piece?: number): void {
    for (const [e, s] of this.table.entries()) if (s === slot || e === expert) this.table[e] = NO_SLOT;
    this.#device.setTable(this.#layer, this.table);
    this.write(expert, { layer: this.#layer, slot }, piece);
    this.table[expert] = slot;
    this.#device.setTable(this.#layer, this.table);
  }

  write(expert: number, place: DevicePlace, piece = this.#device.recordBytes): void {
    const record = this.#records[expert]!;
    for (let at = 0; at < record.length; at += piece) this.#device.write(place, at, record.subarray(at, at + piece));
  }

  /** Experts that a step uses and that are in no slot. */
  missing({ ids }: DeviceMoe): number[] {
    return [...new Set(ids)].filter((expert) => this.table[expert] === NO_SLOT);
  }
}

/** Rows of a step that use an expert, and the expert's share of each. */
export function rowsOf({ ids, weights, x }: DeviceMoe, expert: number, D: number) {
  const K = ids.length / (x.length / D);
  const slots = [...ids.keys()].filter((i) => ids[i] === expert);
  return {
    tokens: Uint32Array.from(slots, (i) => Math.floor(i / K)),
    shares: Float32Array.from(slots, (i) => weights[i]!),
  };
}

/** Uploads experts to transit slots and has them added, as many at once as there are slots. */
function inTransit(step: DeviceMoe, experts: readonly number[], residents: Residents, transit: number): void {
  for (let first = 0; first < experts.length; first += transit) {
    const some = experts.slice(first, first + transit).map((expert, i) => [expert, transit - 1 - i] as const);
    for (const [expert, slot] of some) residents.write(expert, { transit: slot });
    step.addTransit(new Map(some));
  }
}

/** Computes experts with the plain kernels and has the sums added. */
export function onHost(step: DeviceMoe, experts: readonly number[], host: readonly HostExpert[], D: number): void {
  const y = new Float32Array(step.x.length);
  for (const expert of experts) {
    const { tokens, shares } = rowsOf(step, expert, D);
    host[expert]!(step.x, tokens, shares, y, step.ruleOf(expert));
  }
  step.addHost(y);
}

export interface SlotLab {
  readonly ops: WebGpuOps;
  readonly shape: ExpertShape;
  readonly device: DeviceExperts;
  readonly residents: Residents;
  readonly host: readonly HostExpert[];
  readonly records: readonly Uint8Array[];
  readonly loaded: Experts;
  /** The layer's experts in slots, with a scheduler. */
  slotted(scheduler: DeviceScheduler): Experts;
  /** x + moe(norm(x)) [T, D] of tokens 0 .. T - 1. */
  step(T: number, experts: Experts, signal?: AbortSignal): Promise<Float32Array>;
  /** The same, in float64, from the weights that a backend holds. */
  want(T: number): Float64Array;
}

/**
 * Loads a layer's experts twice: as all backends do, and into the second layer's slots of a store
 * (which are empty).
 */
export async function openLab(ops: WebGpuOps, sizes: Sizes): Promise<SlotLab> {
  const { E, K, D, F, slots, transit } = sizes;
  const [up, down] = [FORMATS[sizes.precision], FORMATS[sizes.down ?? sizes.precision]];
  const shape: ExpertShape = { count: E, hidden: D, intermediate: F, up, down };
  const data: ExpertData[] = Array.from({ length: E }, (_, e) => ({
    w1: uniform(F * D, 100 + e, 4 / Math.sqrt(D)),
    w3: uniform(F * D, 200 + e, 2 / Math.sqrt(D)),
    w2: uniform(D * F, 300 + e, 2 / Math.sqrt(F)),
  }));
  const x = uniform(TOKENS * D, 50);
  const gateData = uniform(E * D, 51);
  const normData = uniform(D, 52).map((value) => 1 + value / 2);
  const input: Matrix = await inputTable(ops, x, D);
  const gate: Matrix = await ops.loadMatrix(memorySource("gate", gateData, E, D), FORMATS.f32);
  const norm: Vector = await ops.loadVector(memorySource("norm", normData, 1, D));
  const sources = data.map((d, e) => expertSource(`expert ${e}`, d, D, F, up, down));
  const biases = { up: uniform(E * 2 * F, 80, 1.5), down: uniform(E * D, 81) };
  const rule: ExpertRule | undefined = sizes.biased
    ? {
        activation: "swiglu_oai",
        limit: 0.9,
        biases: {
          up: await ops.loadVector(memorySource("up biases", biases.up, E, 2 * F)),
          down: await ops.loadVector(memorySource("down biases", biases.down, E, D)),
        },
      }
    : undefined;
  const known: reference.ExpertRule | undefined = rule && { ...rule, ...biases };
  const loaded = await ops.loadExperts(sources, up, down, rule);
  const device = await ops.deviceExperts(shape, 3, slots, transit);
  const records = data.map((d) => recordOf(shape, d));
  const weights = data.map((d) => ({
    w1: held(up, d.w1, F, D),
    w3: held(up, d.w3, F, D),
    w2: held(down, d.w2, D, F),
  }));
  return {
    ops,
    shape,
    device,
    residents: new Residents(device, 1, records),
    host: data.map((d) => hostExpert(shape, d)),
    records,
    loaded,
    slotted: (scheduler) => ops.slottedExperts(1, device, scheduler, rule),
    async step(T, experts, signal) {
      ops.begin(batchOf(T, signal && { signal }));
      const h = ops.embed(input);
      const g = ops.rmsNorm(h, norm, 1e-5);
      return ops.read(ops.add(h, await ops.moe(g, ops.route(g, { gate, k: K, rule: SOFTMAX, bias: null }), experts)));
    },
    want(T) {
      const rows = x.subarray(0, T * D);
      const g = reference.rmsNorm(rows, normData, 1e-5);
      const { ids, weights: shares } = reference.route(g, gateData, D, K);
      return reference.moe(g, ids, shares, weights, D, new Map(), known).map((value, i) => value + rows[i]!);
    },
  };
}

/** A scheduler that only handles misses. */
export const scheduler = (misses: (step: DeviceMoe) => Promise<void> | void): DeviceScheduler => ({
  prepare() {},
  async misses(step) {
    await misses(step);
  },
});

/** Every way to handle misses. */
export function schedulers({ residents, host, device, shape }: SlotLab): Readonly<Record<string, DeviceScheduler>> {
  const { hidden: D, count: E } = shape;
  const random = generator(7);
  const turn = () => new Promise((resolve) => setTimeout(resolve, 0));
  return {
    transit: scheduler((step) => inTransit(step, residents.missing(step), residents, device.transit)),
    own: scheduler((step) => {
      for (const expert of residents.missing(step)) {
        const slot = expert % device.slots;
        residents.put(expert, slot);
        step.addOwn(new Map([[expert, slot]]));
      }
    }),
    host: scheduler((step) => onHost(step, residents.missing(step), host, D)),
    mixture: {
      async prepare() {
        await turn();
        const expert = Math.floor(random() * E);
        residents.put(expert, Math.floor(random() * device.slots), 4 * (1 + Math.floor(random() * 1000)));
      },
      async misses(step) {
        const missing = residents.missing(step);
        const uploaded = missing.filter(() => random() < 0.5);
        await turn();
        // Later writes to a slot must not change the current step.
        if (uploaded.length > 0) residents.put(uploaded[0]!, 0);
        const rest = missing.filter((expert) => !uploaded.includes(expert));
        if (rest.length > 0) onHost(step, rest, host, D);
        inTransit(step, uploaded, residents, device.transit);
      },
    },
  };
}
