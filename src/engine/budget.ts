// Memory: what a model needs in each format, which format a budget allows, and how many experts have a place where not
// all of them fit.

import { PACKABLE, type PackableName } from "../../kernels/formats/index.ts";
import { MemoryError } from "../errors.ts";

export interface Needs {
  /** Bytes of all weights in a format, and of those that are not in experts. */
  readonly weights: (format: PackableName) => number;
  readonly dense: (format: PackableName) => number;
  /** Bytes of one expert's record. */
  readonly record: (format: PackableName) => number;
  readonly layers: number; // L
  readonly experts: number; // E, of a layer
  /** Bytes of keys and values a position, over all layers. */
  readonly kvPerPosition: number;
  /** Bytes of intermediate values of the largest step. */
  readonly scratch: number;
  readonly context: number;
  /** Positions that the cache must have room for where experts come and go; by default as many as are useful. */
  readonly positions?: number | undefined;
  /** Whether the weights are stored in the wanted format and can be had in no other. */
  readonly stored?: boolean;
}

export interface Budget {
  readonly bytes: number;
  /** The option that sets it, for messages. */
  readonly option: string;
}

export interface Budgets {
  /** Of the memory that steps are computed in: the GPU's, or RAM. */
  readonly main: Budget;
  /** Of RAM behind a GPU, less what the CPU needs to compute at all; null on the CPU backend, whose main memory it is. */
  readonly ram: Budget | null;
  /** Whether experts can come and go on this platform. */
  readonly tiers: boolean;
  /** Slots a layer in main memory, where more or fewer are wanted than the budget would have. */
  readonly slots?: number | undefined;
}

/** Places for experts where not all of them have one. */
export interface Tiers {
  /** Slots of each layer in main memory. */
  readonly slots: number;
  /** Layers, the first ones, that have one more: what is left after whole rounds (in RAM; on a GPU all have the same). */
  readonly extra: number;
  /** Slots beside them, for experts that come and go. */
  readonly transit: number;
  /** In RAM behind a GPU: experts that each layer keeps there, layers that keep one more, and slots in all. */
  readonly ram: { readonly quota: number; readonly extra: number; readonly slots: number } | null;
}

export interface Plan {
  readonly weights: PackableName;
  /** Bytes that the KV cache may grow to. */
  readonly kvBytes: number;
  /** Null: every expert has its place. */
  readonly tiers: Tiers | null;
}

/** Positions that must fit, for a budget to be called enough: a shorter context than this is no use. */
const USEFUL_POSITIONS = 2048;
/** One is read or uploaded to while another is computed with. */
const LEAST_TRANSIT = 2;
/** Reads that are under way at once, and one that is computed with. */
const USUAL_TRANSIT = 5;

/**
 * The most precise weights that fit the budget whole, together with scratch and a KV cache of 2,048 positions (or the whole
 * context, if that is shorter); what is left is the KV cache's to grow into. Where none fit: q4 weights (or those that are
 * wanted), and slots for as many experts of each layer as there is room for.
 * @throws MemoryError that says the smallest budget that works, and in which format
 */
export function planMemory(needs: Needs, wanted: "auto" | PackableName, budgets: Budgets): Plan {
  const { main, slots } = budgets;
  const kv = needs.kvPerPosition * Math.min(needs.context, USEFUL_POSITIONS);
  const least = (p: PackableName): number => needs.weights(p) + needs.scratch + kv;
  const candidates: readonly PackableName[] = wanted === "auto" ? PACKABLE : [wanted];
  const weights = candidates.find((p) => least(p) <= main.bytes);
  const whole = slots === undefined || slots >= needs.experts;
  if (weights !== undefined && (whole || !budgets.tiers))
    return { weights, kvBytes: main.bytes - needs.weights(weights) - needs.scratch, tiers: null };
  const smallest = weights ?? candidates[candidates.length - 1]!;
  if (budgets.tiers) return planTiers(needs, smallest, budgets);
  throw tooSmall(
    main,
    smallest,
    least(smallest),
    needs.stored || wanted === "auto" || wanted === "q4" ? null : least("q4"),
  );
}

function planTiers(needs: Needs, weights: PackableName, { main, ram, slots: asked }: Budgets): Plan {
  const { layers, experts, scratch } = needs;
  const record = needs.record(weights);
  const kvBytes = needs.kvPerPosition * (needs.positions ?? Math.min(needs.context, USEFUL_POSITIONS));
  const fixed = needs.dense(weights) + scratch + kvBytes;
  const room = Math.floor((main.bytes - fixed) / record); // for so many records
  const fits = (transit: number): number => Math.floor((room - transit) / layers);
  const slots = Math.min(experts, asked ?? Math.max(fits(USUAL_TRANSIT), Math.min(1, fits(LEAST_TRANSIT))));
  if (slots < 1 || fits(LEAST_TRANSIT) < slots) {
    const bytes = fixed + (layers * Math.max(slots, 1) + LEAST_TRANSIT) * record;
    const what = `${Math.max(slots, 1)} of ${experts} experts a layer in memory at a time`;
    throw tooSmall(
      main,
      weights,
      bytes,
      weights === "q4" || needs.stored ? null : leastTiers(needs, "q4", kvBytes),
      what,
    );
  }
  const left = room - layers * slots;
  const extra = ram || asked !== undefined || slots === experts ? 0 : Math.max(0, left - USUAL_TRANSIT);
  const transit = Math.min(left - extra, USUAL_TRANSIT);
  return { weights, kvBytes, tiers: { slots, extra, transit, ram: ram && planRam(needs, record, ram) } };
}

/** RAM behind a GPU: all experts if they fit, else a quota for each layer, or none but those on their way. */
function planRam({ layers, experts }: Needs, record: number, ram: Budget): Tiers["ram"] {
  const room = Math.floor(ram.bytes / record);
  if (room < LEAST_TRANSIT)
    throw new MemoryError(
      `the memory budget of ${formatBytes(ram.bytes)} (option ${ram.option}) is too small: experts on their way to the GPU take ${formatBytes(LEAST_TRANSIT * record)}`,
    );
  const transit = Math.min(room, USUAL_TRANSIT);
  const quota = Math.min(experts, Math.floor((room - transit) / layers));
  const extra = quota === experts ? 0 : room - transit - layers * quota;
  return { quota, extra, slots: Math.min(room, layers * experts + USUAL_TRANSIT) };
}

function leastTiers(needs: Needs, format: PackableName, kvBytes: number): number {
  const records = (needs.layers + LEAST_TRANSIT) * needs.record(format);
  return needs.dense(format) + needs.scratch + kvBytes + records;
}

function tooSmall(
  { bytes, option }: Budget,
  format: PackableName,
  least: number,
  q4: number | null,
  with_ = "",
): MemoryError {
  const advice = q4 === null ? "" : `, or choose weights q4 (${formatBytes(q4)})`;
  const how = with_ === "" ? `${format} weights` : `${format} weights and ${with_}`;
  return new MemoryError(
    `the memory budget of ${formatBytes(bytes)} (option ${option}) is too small: the smallest that works with ${how} is ${formatBytes(least)}${advice}`,
  );
}

/** Bytes for a person: 1536 MiB below 10 GiB, 26.3 GiB above. Rounded up, so that the figure can be used as a budget. */
export function formatBytes(bytes: number): string {
  if (bytes < 2 ** 20) return `${Math.ceil(bytes / 1024)} KiB`;
  if (bytes < 10 * 2 ** 30) return `${Math.ceil(bytes / 2 ** 20)} MiB`;
  return `${(Math.ceil((bytes / 2 ** 30) * 10) / 10).toFixed(1)} GiB`;
}
