// Joins the tiers that offloaded experts are kept in: a backend's slots, the records of a weights
// source, the policies.
//
// Layers whose experts have one shape make a class (experts/classes.ts). Each class has slots and
// tiers of its own, which count the class's layers from 0.

import { type CpuOptions, createCpuExpertClasses } from "../backend/cpu/cpu.ts";
import type { HostExperts } from "../backend/experts.ts";
import type { ExpertRule, Experts, Ops } from "../backend/ops.ts";
import type { WebGpuOps } from "../backend/webgpu/webgpu.ts";
import type { Tiers } from "../engine/budget.ts";
import { AbTrial } from "../experts/ab_trial.ts";
import { calibrate } from "../experts/calibrate.ts";
import { byLayer, classesOf, type ExpertClass } from "../experts/classes.ts";
import { CLOCK } from "../experts/clock.ts";
import { Costs } from "../experts/costs.ts";
import { difference } from "../experts/counters.ts";
import { DeviceTier, StepThread } from "../experts/device_tier.ts";
import type { Policy } from "../experts/layer_cache.ts";
import { type GateSource, layerPrediction, type Predict } from "../experts/prediction.ts";
import { RamTier } from "../experts/ram_tier.ts";
import { Conversions, recordReader, type Spill } from "../experts/record_reader.ts";
import type { Where } from "../experts/schedule.ts";
import { type ExpertStats, type LayerStats, layerStats, type TierStats } from "../experts/stats.ts";
import { type Choices, learnedFromText, learnedToText } from "../experts/warm_start.ts";
import type { ExpertShape } from "../tensor/record.ts";
import type { RouteRule } from "../tensor/route_rule.ts";
import type { ExpertSource } from "../tensor/types.ts";
import { turn } from "../turn.ts";
import { Policies, type PRICE } from "./policies.ts";

/**
 * The trial of reading past the page cache takes four tokens, one by one in turns, because the way
 * may double the speed, or halve it. So few may mislead, so it is soon repeated. The page cache's
 * way must be a tenth faster: it takes the processor's time and memory, and some disks read fast
 * for a moment after a rest.
 */
const BYPASS = { window: 1, settling: 0, rounds: 2, hold: 64, longest: 4096, gain: -0.1, proportional: true } as const;

/** Where a model's offloaded experts are. */
export interface Residency {
  /** A layer's experts, for loading the model. */
  experts(layer: number, rule?: ExpertRule): Experts;
  stats(): ExpertStats;
  /** Resets slots and counters after a warm-up. */
  clear(): void;
  /** Ends reads and uploads in flight, and saves what was learned. */
  close(): Promise<void>;
}

/** Keeps what a run has learned. */
export interface LearnedStore {
  read(name: string): Promise<string | null>;
  write(name: string, text: string): Promise<void>;
}

/** One layer: its experts, and the router and norm that predictions are made with. */
export interface ExpertLayer extends GateSource {
  readonly shape: ExpertShape;
  readonly experts: readonly ExpertSource[];
}

export interface ResidencyOptions {
  readonly layers: readonly ExpertLayer[];
  /** Experts that a token uses, K. */
  readonly perToken: number;
  readonly rule: RouteRule;
  /** The plan of each class, in the order of classesOf(). */
  readonly tiers: readonly Tiers[];
  /** Makes a place for experts that had to be packed, one for each class; null: there is none. */
  readonly spill: () => Spill | null;
  readonly learned: { readonly store: LearnedStore; readonly name: string };
}

/**
 * Trials that the tiers of one model share: the tier with the last layer times the tokens, the
 * others only follow.
 */
class Trials {
  readonly #prefetch: AbTrial;
  /**
   * Copying out of the page cache takes a processor longer than the read, but saves the read
   * on a hit.
   */
  readonly #bypass: AbTrial;

  /** @param choices what an earlier run has found: the trials begin with it */
  constructor({ prefetch, bypass }: Choices) {
    this.#prefetch = new AbTrial({ remembered: prefetch });
    this.#bypass = new AbTrial({ ...BYPASS, remembered: bypass });
  }

  /** For the next run. */
  get choices(): Choices {
    return { prefetch: this.#prefetch.pays, bypass: this.#bypass.pays };
  }

  for({ last }: ClassParts) {
    return { prefetchTrial: seen(this.#prefetch, last), bypassTrial: seen(this.#bypass, last) };
  }
}

function seen(trial: AbTrial, timed: boolean): Pick<AbTrial, "on" | "deciding" | "step"> {
  return timed
    ? trial
    : {
        get on() {
          return trial.on;
        },
        get deciding() {
          return trial.deciding;
        },
        step: () => {},
      };
}

/** The parts that one class's tiers are made of. */
interface ClassParts extends ExpertClass {
  readonly tiers: Tiers;
  readonly own: readonly ExpertLayer[];
  readonly policy: (layer: number) => Policy;
  readonly predict: Predict;
  readonly spill: Spill | null;
  /** Of all classes. */
  readonly conversions: Conversions;
  /** Whether the model's last layer is of this class. */
  readonly last: boolean;
}

type MakeExperts = (rule?: ExpertRule) => Experts;

/** Tiers of the CPU backend: RAM, and the disk behind it. @throws MemoryError, WeightsError */
export async function cpuResidency(ops: Ops, options: ResidencyOptions): Promise<Residency> {
  const { classes, policies, choices, keep, experts } = await setUp(options, "ram");
  const trials = new Trials(choices);
  const rams: { readonly slots: HostExperts; readonly tier: RamTier; readonly quota: number }[] = [];
  for (const parts of classes) {
    const { slots: quota, extra, transit } = parts.tiers;
    const slots = await ops.expertSlots!(parts.shape, parts.layers.length * quota + extra + transit);
    rams.push({ slots, tier: ramTier(slots, { quota, extra }, parts, trials, parts.policy, parts.predict), quota });
  }
  const made = classes.map(({ layers }, c) =>
    layers.map(
      (_, i): MakeExperts =>
        (rule) =>
          ops.offloadedExperts!(i, rams[c]!.slots, rams[c]!.tier, rule),
    ),
  );
  const ofLayer = byLayer(classes, made);
  return {
    experts: (layer, rule) => ofLayer[layer]!(rule),
    stats() {
      const counters = rams.map(({ tier }) => tier.counters);
      return {
        experts,
        recordBytes: Math.max(...rams.map(({ slots }) => slots.recordBytes)),
        main: ramStats(classes, rams),
        ram: null,
        packed: packedStats(classes),
        ms: {
          stall: sum(counters, ({ stallMs }) => stallMs),
          sync: 0,
          upload: 0,
          disk: sum(counters, ({ diskMs }) => diskMs),
          hostCompute: sum(counters, ({ computeMs }) => computeMs),
        },
      };
    },
    clear() {
      for (const { tier } of rams) tier.clear();
      policies.clear();
    },
    async close() {
      for (const { tier } of rams) await tier.close();
      for (const { spill } of classes) await spill?.close();
      await keep(trials.choices);
    },
  };
}

/**
 * Tiers of the WebGPU backend: slots on the device, RAM, and the disk behind that. Measures the
 * costs of moving and computing an expert.
 * @throws MemoryError, WeightsError, DeviceError
 */
export async function deviceResidency(
  ops: WebGpuOps,
  options: ResidencyOptions,
  cpu: Omit<CpuOptions, "maxTokens" | "deviceName">,
): Promise<Residency> {
  const { classes, policies, choices, keep, experts } = await setUp(options, "device");
  const hosts = await createCpuExpertClasses(
    classes.map(({ shape, tiers }) => ({ shape, slots: tiers.ram!.slots })),
    cpu,
  );
  const quotas = classes.map(({ tiers }) => ({ slots: tiers.ram!.quota, extra: tiers.ram!.extra }));
  const behind = new Policies(classes, quotas, "ram");
  const trials = new Trials(choices);
  const rams = classes.map((parts, c) => {
    const { quota, extra } = parts.tiers.ram!;
    const tier = ramTier(hosts[c]!, { quota, extra }, parts, trials, behind.ofClass(parts));
    return { tier, quota };
  });
  const closeAll = async (): Promise<void> => {
    for (const { tier } of rams) await tier.close();
    for (const host of hosts) host.close();
    for (const { spill } of classes) await spill?.close();
  };
  try {
    const thread = new StepThread();
    // The CPU rounds otherwise: rows agree only where the device computes all of them.
    const places: readonly Where[] = ops.rowsAgree > 0 ? ["device"] : ["host", "device"];
    const deviceTrials = new Trials(choices);
    const devices: { readonly tier: DeviceTier; readonly quota: number }[] = [];
    const made: MakeExperts[][] = [];
    for (const [c, parts] of classes.entries()) {
      const { slots, transit } = parts.tiers;
      const device = await ops.deviceExperts(parts.shape, parts.layers.length, slots, transit);
      const ram = rams[c]!.tier;
      const read = readsInTurn(ram, parts);
      const costs = new Costs(await calibrate({ host: hosts[c]!, slot: await read(), device, clock: CLOCK, read }));
      const { policy, predict } = parts;
      const { prefetchTrial } = deviceTrials.for(parts);
      const tier = new DeviceTier({ device, ram, policy, costs, clock: CLOCK, predict, prefetchTrial, thread, places });
      devices.push({ tier, quota: slots });
      made.push(parts.layers.map((_, i) => (rule) => ops.slottedExperts(i, device, tier, rule)));
    }
    const ofLayer = byLayer(classes, made);
    let before = devices.map(({ tier }) => tier.counters.snapshot());
    return {
      experts: (layer, rule) => ofLayer[layer]!(rule),
      stats() {
        const counts = devices.map(({ tier }, c) => difference(tier.counters.snapshot(), before[c]!));
        const bytes = (cause: "demand" | "admission" | "prefetch" | "wasted") =>
          sum(counts, ({ bytes }) => bytes[cause]);
        return {
          experts,
          recordBytes: Math.max(...hosts.map(({ recordBytes }) => recordBytes)),
          main: {
            slots: Math.max(...devices.map(({ quota }) => quota)),
            layers: layersOf(classes, devices),
            bytes: {
              demand: bytes("demand"),
              admission: bytes("admission"),
              prefetch: bytes("prefetch"),
              wasted: bytes("wasted"),
            },
          },
          ram: ramStats(classes, rams),
          packed: packedStats(classes),
          ms: {
            stall: sum(counts, ({ ms }) => ms.stall + ms.disk),
            sync: sum(counts, ({ ms }) => ms.sync),
            upload: sum(counts, ({ ms }) => ms.upload),
            disk: sum(rams, ({ tier }) => tier.counters.diskMs),
            hostCompute: sum(counts, ({ ms }) => ms.host),
          },
        };
      },
      clear() {
        for (const { tier } of devices) tier.clear();
        for (const { tier } of rams) tier.clear();
        policies.clear();
        behind.clear();
        before = devices.map(({ tier }) => tier.counters.snapshot());
      },
      async close() {
        for (const { tier } of devices) tier.close();
        await closeAll();
        await keep({ prefetch: deviceTrials.choices.prefetch, bypass: trials.choices.bypass });
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/**
 * Classes with their parts; policies that start from what earlier runs learned, and `keep`, which
 * saves them.
 */
async function setUp({ layers, perToken, rule, tiers, spill, learned }: ResidencyOptions, tier: keyof typeof PRICE) {
  const counts = layers.map(({ shape }) => shape.count);
  const alike = classesOf(layers.map(({ shape }) => shape));
  const known = learnedFromText(await learned.store.read(learned.name), counts);
  const policies = new Policies(alike, tiers, tier, known?.scores ?? null);
  const keep = (choices: Choices): Promise<void> =>
    learned.store.write(learned.name, learnedToText({ scores: policies.scores, ...choices }));
  const conversions = new Conversions();
  const classes: ClassParts[] = [];
  for (const [c, found] of alike.entries()) {
    const own = found.layers.map((layer) => layers[layer]!);
    const predict = await layerPrediction(own, perToken, rule);
    const last = found.layers.includes(layers.length - 1);
    const policy = policies.ofClass(found);
    classes.push({ ...found, tiers: tiers[c]!, own, policy, predict, spill: spill(), conversions, last });
  }
  const choices: Choices = known ?? { bypass: null, prefetch: null };
  return { classes, policies, choices, keep, experts: Math.max(...counts) };
}

/**
 * Reads another record of the class at each call, for calibration; returns the slot that it is in.
 */
function readsInTurn(ram: RamTier, { layers, shape }: ExpertClass): () => Promise<number> {
  let next = 0;
  return async () => {
    const [layer, expert] = [next % layers.length, Math.floor(next / layers.length) % shape.count];
    next++;
    const slot = await ram.acquire(layer, expert, "demand");
    ram.release(layer, expert);
    return slot;
  };
}

function ramTier(
  experts: HostExperts,
  { quota, extra }: { readonly quota: number; readonly extra: number },
  parts: ClassParts,
  trials: Trials,
  policy: (layer: number) => Policy,
  predict?: Predict,
): RamTier {
  const { own, spill, conversions } = parts;
  return new RamTier({
    experts,
    layers: own.length,
    quota,
    extra,
    policy,
    read: recordReader(
      own.map((layer) => layer.experts),
      experts,
      spill,
      conversions,
    ),
    predict,
    ...trials.for(parts),
    clock: CLOCK.now,
    turn,
  });
}

function ramStats(
  classes: readonly ExpertClass[],
  rams: readonly { readonly tier: RamTier; readonly quota: number }[],
): TierStats {
  const counters = rams.map(({ tier }) => tier.counters);
  return {
    slots: Math.max(...rams.map(({ quota }) => quota)),
    layers: layersOf(classes, rams),
    bytes: {
      demand: sum(counters, ({ demandBytes }) => demandBytes),
      admission: sum(counters, ({ admissionBytes }) => admissionBytes),
      prefetch: sum(counters, ({ prefetchBytes }) => prefetchBytes),
      wasted: sum(counters, ({ wastedBytes }) => wastedBytes),
    },
  };
}

function packedStats(classes: readonly ClassParts[]): ExpertStats["packed"] {
  const used = classes.flatMap(({ spill }) => (spill && (spill.bytes > 0 || spill.refused !== null) ? [spill] : []));
  if (used.length === 0) return null;
  const refused = used.find((spill) => spill.refused !== null)?.refused ?? null;
  return { bytes: sum(used, ({ bytes }) => bytes), refused };
}

/** Statistics of all layers of the model, in order. */
function layersOf(
  classes: readonly ExpertClass[],
  tiers: readonly { readonly tier: RamTier | DeviceTier }[],
): LayerStats[] {
  return byLayer(
    classes,
    tiers.map(({ tier }) => layerStats(tier.caches)),
  );
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((total, value) => total + of(value), 0);
}
