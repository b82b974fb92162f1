// Numbers of the Experts panel as texts.

import type { ExpertsHead } from "../live.ts";
import { type Figures, PLACES, type Recorder } from "./recorder.ts";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

export function bytesText(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

export const percent = (part: number, whole: number): string =>
  whole > 0 ? `${((100 * part) / whole).toFixed(1)} %` : "none";

const ms = (value: number): string => `${value >= 100 ? Math.round(value) : value.toFixed(1)} ms`;

/** A part of the time of a token. */
export interface TimePart {
  readonly name: string;
  readonly ms: number;
}

/** Where the milliseconds of a token went; the last part is the rest. Empty: not known. */
export function timesOf({ head }: { readonly head: ExpertsHead }, { tokens, ms: all, times }: Figures): TimePart[] {
  if (times === null || tokens === 0) return [];
  const gpu = head.main === "gpu";
  const parts = [
    { name: "waiting for experts from disk", ms: times.stall },
    ...(gpu ? [{ name: "the GPU, until routes are known", ms: times.sync }] : []),
    ...(gpu ? [{ name: "uploading experts", ms: times.upload }] : []),
    { name: gpu ? "experts computed by the CPU" : "computing experts", ms: times.hostCompute },
  ];
  const known = parts.reduce((sum, part) => sum + part.ms, 0);
  return [...parts, { name: "everything else", ms: Math.max(0, all - known) }].map((part) => ({
    ...part,
    ms: part.ms / tokens,
  }));
}

/** The figures beside the map: a name and a value each. */
export function figuresText(figures: Figures, head: ExpertsHead): readonly (readonly [string, string])[] {
  const { tokens, ms: all, uses, bytes } = figures;
  const each = (value: number): string => (tokens > 0 ? bytesText(value / tokens) : "none");
  const apart = head.recordBytes !== null;
  return [
    ["Tokens a second", all > 0 ? ((1000 * tokens) / all).toFixed(1) : "none"],
    ["A token takes", tokens > 0 ? ms(all / tokens) : "none"],
    ["Experts found in place", apart ? (uses ? percent(uses.hits, uses.routed) : "none") : "all: none is moved"],
    ...(apart && bytes
      ? ([
          [head.main === "gpu" ? "Moved to the GPU, a token" : "Read into RAM, a token", each(bytes.main)],
          ...(head.main === "gpu" ? ([["Read from disk, a token", each(bytes.disk)]] as const) : []),
        ] as const)
      : []),
  ];
}

export const timeText = ({ name, ms: value }: TimePart): string => `${name}: ${ms(value)}`;

/** What is known of one expert, in a sentence. */
export function cellText(recorder: Recorder, cell: number, end: number): string {
  const { head, width, counts } = recorder;
  const [layer, expert] = [Math.floor(cell / width), cell % width];
  const where = recorder.placesAt(end)?.[cell] ?? 3;
  const own = counts.subarray(layer * width, layer * width + width);
  const all = own.reduce((sum, count) => sum + count, 0);
  const since = recorder.sinceUse(cell, end);
  const last = since === null ? "not by the tokens recorded" : since === 0 ? "by this token" : `${since} tokens ago`;
  return `Layer ${head.layers[layer]}, expert ${expert}: ${PLACES[where]}; used ${counts[cell]} times, ${percent(
    counts[cell]!,
    all,
  )} of the layer's uses, last ${last}.`;
}
