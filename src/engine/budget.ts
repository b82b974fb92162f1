// Plans memory: the formats that a budget allows, and slots for experts where not all of them fit.

import { AUTOMATIC, type PackableName } from "../../kernels/formats/index.ts";
import { MemoryError } from "../errors.ts";

/** Layers whose experts have one shape, and so share slots. */
export interface ExpertNeeds {
  readonly layers: number;
  readonly experts: number; // E, of a layer
  /** Bytes of one expert's record. */
  readonly record: number;
}

export interface Needs {
  /** Bytes of all weights in a format, and of those that are not in experts. */
  readonly weights: (format: PackableName) => number;
  readonly dense: (format: PackableName) => number;
  /** The classes of expert layers (experts/classes.ts). */
  readonly classes: (format: PackableName) => readonly ExpertNeeds[];
  /** Bytes of a KV cache with room for so many positions. */
  readonly kv: (positions: number) => number;
  /** Bytes of intermediate values of the largest step. */
  readonly scratch: number;
  readonly context: number;
  /**
   * Positions that the cache must have room for if experts are offloaded; default: as many
   * as are useful.
   */
  readonly positions?: number | undefined;
  /**
   * What to call the weights if every matrix keeps the format that it is stored in: then no other
   * format is chosen for it.
   */
  readonly kept?: string | undefined;
  /** Formats to choose from, the most precise first. */
  readonly automatic: readonly PackableName[];
}

export interface Budget {
  readonly bytes: number;
  /** The option that sets it, for messages. */
  readonly option: string;
}

export interface Budgets {
  /** The memory in which steps are computed: the GPU's, or RAM. */
  readonly main: Budget;
  /**
   * RAM behind a GPU, and how much of it the CPU's own scratch has; null on the CPU backend, whose
   * main memory is RAM.
   */
  readonly ram: (Budget & { readonly held: number }) | null;
  /** Whether this platform can offload experts. */
  readonly tiers: boolean;
  /** Slots of each layer in main memory, in place of the number that the budget gives. */
  readonly slots?: number | undefined;
}

/** Slots for the experts of one class of layers, if not all experts fit. */
export interface Tiers {
  /** Slots of each layer in main memory. */
  readonly slots: number;
  /**
   * How many layers (the first ones) have one more. In RAM only: on a GPU all layers have the same.
   */
  readonly extra: number;
  /** Further slots, for records in transit. */
  readonly transit: number;
  /**
   * In RAM behind a GPU: experts kept for each layer, layers that keep one more, and slots in all.
   */
  readonly ram: RamPlan | null;
}

export interface RamPlan {
  readonly quota: number;
  readonly extra: number;
  readonly slots: number;
}

export interface Plan {
  /** The format of matrices that keep none of their own. */
  readonly weights: PackableName;
  /** Bytes that the KV cache may grow to. */
  readonly kvBytes: number;
  /** The slots of each class of expert layers; null: all experts fit. */
  readonly tiers: readonly Tiers[] | null;
}

/** The format that takes the least memory of those that are chosen automatically. */
const SMALLEST: PackableName = AUTOMATIC.at(-1)!;
/** Positions that must fit: a shorter context is not useful. */
const USEFUL_POSITIONS = 2048;
/** The fewest transit slots: one is filled while another is computed with. */
const LEAST_TRANSIT = 2;
/** Transit slots if there is room: reads in flight, and one that is computed with. */
const USUAL_TRANSIT = 5;
/**
 * In RAM before a disk, of large records: two in flight keep the disk busy, and a slot that keeps
 * an expert saves more than one that a third read goes to.
 */
const LARGE_TRANSIT = 3;
/** What two records of have enough pieces for a disk. */
const LARGE_RECORD = 2 ** 24;

type Transit = (one: ExpertNeeds) => number;
const leastTransit: Transit = () => LEAST_TRANSIT;
const usualTransit: Transit = () => USUAL_TRANSIT;
const readTransit: Transit = ({ record }) => (record >= LARGE_RECORD ? LARGE_TRANSIT : USUAL_TRANSIT);

/**
 * The most precise weights that fit the budget, together with scratch and a KV cache of 2,048
 * positions (or the whole context, if that is shorter); the KV cache can grow into the rest. If
 * none fit: the smallest format (or the wanted one), and slots for as many experts of each layer
 * as possible.
 * @throws MemoryError naming the smallest budget that works, and its format
 */
export function planMemory(needs: Needs, wanted: "auto" | PackableName, budgets: Budgets): Plan {
  const { main, slots } = budgets;
  const kv = needs.kv(Math.min(needs.context, USEFUL_POSITIONS));
  const least = (p: PackableName): number => needs.weights(p) + needs.scratch + kv;
  const candidates = wanted === "auto" ? needs.automatic : [wanted];
  const weights = candidates.find((p) => least(p) <= main.bytes);
  const whole = (name: PackableName): boolean => slots === undefined || slots >= mostExperts(needs.classes(name));
  if (weights !== undefined && (!budgets.tiers || whole(weights)))
    return { weights, kvBytes: main.bytes - needs.weights(weights) - needs.scratch, tiers: null };
  const smallest = weights ?? candidates[candidates.length - 1]!;
  if (budgets.tiers) return planTiers(needs, smallest, budgets);
  const other = needs.kept !== undefined || wanted === "auto" || wanted === SMALLEST ? null : least(SMALLEST);
  throw tooSmall(main, needs.kept ?? smallest, least(smallest), other);
}

function planTiers(needs: Needs, weights: PackableName, { main, ram, slots: asked }: Budgets): Plan {
  const classes = needs.classes(weights);
  const experts = mostExperts(classes);
  const kvBytes = needs.kv(needs.positions ?? Math.min(needs.context, USEFUL_POSITIONS));
  const fixed = needs.dense(weights) + needs.scratch + kvBytes;
  const room = main.bytes - fixed;
  const usual = ram ? usualTransit : readTransit;
  const slots = Math.min(
    experts,
    asked ?? Math.max(quotaIn(classes, room, usual), Math.min(1, quotaIn(classes, room, leastTransit))),
  );
  if (slots < 1 || bytesOf(classes, slots, leastTransit) > room) {
    const bytes = fixed + bytesOf(classes, Math.max(slots, 1), leastTransit);
    const what = `${Math.max(slots, 1)} of ${experts} experts a layer in memory at a time`;
    const other = weights === SMALLEST || needs.kept !== undefined ? null : leastTiers(needs, SMALLEST, kvBytes);
    throw tooSmall(main, needs.kept ?? weights, bytes, other, what);
  }
  const each = share(classes, room, slots, usual, !ram && asked === undefined);
  const behind = ram && planRam(classes, ram);
  return { weights, kvBytes, tiers: each.map((tiers, c) => ({ ...tiers, ram: behind?.[c] ?? null })) };
}

/**
 * RAM behind a GPU: all experts if they fit, else a quota for each layer, or only those in transit.
 */
function planRam(classes: readonly ExpertNeeds[], { bytes, held, option }: NonNullable<Budgets["ram"]>): RamPlan[] {
  const least = bytesOf(classes, 0, leastTransit);
  const room = bytes - held;
  if (least > room)
    throw new MemoryError(
      `the memory budget of ${formatBytes(bytes)} (option ${option}) is too small: reading weights and experts on their way to the GPU take ${formatBytes(held + least)}`,
    );
  const quota = Math.max(0, Math.min(mostExperts(classes), quotaIn(classes, room, usualTransit)));
  return share(classes, room, quota, usualTransit, true).map(({ slots, extra, transit }, c) => {
    return { quota: slots, extra, slots: classes[c]!.layers * slots + extra + transit };
  });
}

/**
 * Slots of each class when every layer gets `slots`: what is left of `bytes` goes to transit slots,
 * class by class, and then to layers that keep one more, if `more`.
 */
function share(classes: readonly ExpertNeeds[], bytes: number, slots: number, usual: Transit, more: boolean) {
  let left = bytes - bytesOf(classes, slots, leastTransit);
  const take = (most: number, record: number): number => {
    const n = Math.max(0, Math.min(most, Math.floor(left / record)));
    left -= n * record;
    return n;
  };
  const transit = classes.map((one) => LEAST_TRANSIT + take(usual(one) - LEAST_TRANSIT, one.record));
  return classes.map(({ layers, experts, record }, c) => {
    const own = Math.min(experts, slots);
    return { slots: own, extra: more && own < experts ? take(layers, record) : 0, transit: transit[c]! };
  });
}

/** Bytes of `slots` slots for each layer and those in transit of each class. */
function bytesOf(classes: readonly ExpertNeeds[], slots: number, transit: Transit): number {
  return classes.reduce((sum, one) => sum + (one.layers * Math.min(one.experts, slots) + transit(one)) * one.record, 0);
}

/**
 * The most slots that every layer can have beside `transit` slots of each class; below 0: not even
 * those fit.
 */
function quotaIn(classes: readonly ExpertNeeds[], bytes: number, transit: Transit): number {
  const most = mostExperts(classes);
  if (bytesOf(classes, 0, transit) > bytes) return -1;
  let slots = 0;
  while (slots < most && bytesOf(classes, slots + 1, transit) <= bytes) slots++;
  return slots;
}

function mostExperts(classes: readonly ExpertNeeds[]): number {
  return Math.max(...classes.map(({ experts }) => experts));
}

function leastTiers(needs: Needs, format: PackableName, kvBytes: number): number {
  return needs.dense(format) + needs.scratch + kvBytes + bytesOf(needs.classes(format), 1, leastTransit);
}

function tooSmall(
  { bytes, option }: Budget,
  weights: string,
  least: number,
  other: number | null,
  with_ = "",
): MemoryError {
  const advice = other === null ? "" : `, or choose weights ${SMALLEST} (${formatBytes(other)})`;
  const how = with_ === "" ? `${weights} weights` : `${weights} weights and ${with_}`;
  return new MemoryError(
    `the memory budget of ${formatBytes(bytes)} (option ${option}) is too small: the smallest that works with ${how} is ${formatBytes(least)}${advice}`,
  );
}

/**
 * Bytes as text: 1536 MiB below 10 GiB, 26.3 GiB above. Rounded up, so that it works as a budget.
 */
export function formatBytes(bytes: number): string {
  if (bytes < 2 ** 20) return `${Math.ceil(bytes / 1024)} KiB`;
  if (bytes < 10 * 2 ** 30) return `${Math.ceil(bytes / 2 ** 20)} MiB`;
  return `${(Math.ceil((bytes / 2 ** 30) * 10) / 10).toFixed(1)} GiB`;
}
