// Reads what the server tells of experts at work and of its activity. What a server sends is not
// trusted to have any shape.

import type { Activity, ExpertsEvent, ExpertsFrame, ExpertsHead, Figures, Latency, Span } from "../live.ts";
import { type Fields, fields, list, number } from "./reading.ts";

/** Sizes beyond which a head is not of a model. */
const MOST = { layers: 1024, experts: 4096, perToken: 64 } as const;

/** An event of GET /hotset/experts; null for one that is not known. */
export function expertsEvent(name: string, data: unknown): ExpertsEvent | null {
  const found = fields(data);
  if (name === "state") return { type: "state", state: typeof found.state === "string" ? found.state : "unloaded" };
  if (name === "head") {
    const head = headOf(found);
    return head && { type: "head", head };
  }
  return name === "frame" ? { type: "frame", frame: frameOf(found) } : null;
}

function headOf({ layers, experts, perToken, main, recordBytes, slots }: Fields): ExpertsHead | null {
  const counts = list(experts).map(number);
  const k = number(perToken);
  const whole = (value: number, most: number): boolean => Number.isInteger(value) && value >= 1 && value <= most;
  if (counts.length === 0 || counts.length > MOST.layers || list(layers).length !== counts.length) return null;
  if (!whole(k, MOST.perToken) || !counts.every((count) => whole(count, MOST.experts))) return null;
  return {
    layers: list(layers).map(number),
    experts: counts,
    perToken: k,
    main: main === "gpu" ? "gpu" : "ram",
    recordBytes: numberOrNull(recordBytes),
    slots: numberOrNull(slots),
  };
}

function frameOf(frame: Fields): ExpertsFrame {
  const text = (value: unknown): string | null => (typeof value === "string" ? value : null);
  const group = <K extends string>(value: unknown, names: readonly K[]): Record<K, number> | null => {
    if (typeof value !== "object" || value === null) return null;
    const found = fields(value);
    return Object.fromEntries(names.map((name) => [name, number(found[name])])) as Record<K, number>;
  };
  return {
    at: number(frame.at),
    steps: number(frame.steps),
    tokens: number(frame.tokens),
    ms: number(frame.ms),
    shown: number(frame.shown),
    routes: text(frame.routes) ?? "",
    counts: text(frame.counts),
    dropped: number(frame.dropped),
    places: text(frame.places),
    uses: group(frame.uses, ["routed", "hits"]),
    bytes: group(frame.bytes, ["main", "disk", "wasted"]),
    times: group(frame.times, ["stall", "sync", "upload", "disk", "hostCompute"]),
  };
}

/** The answer of GET /hotset/activity; null: the server counts nothing. */
export function activityIn(answer: unknown, span: Span): Activity | null {
  const found = fields(answer);
  if (found.counted === false) return null;
  const named = (value: unknown, field: string) =>
    list(value)
      .map(fields)
      .map((one) => ({ ...figuresOf(one), name: typeof one[field] === "string" ? (one[field] as string) : null }));
  const upOf = (one: Fields): number => Math.min(1, Math.max(0, number(one.up)));
  const all = fields(found.all);
  return {
    span,
    from: number(found.from),
    step: number(found.step),
    kept: found.kept === true,
    steps: list(found.steps)
      .map(fields)
      .map((one) => ({ ...figuresOf(one), up: upOf(one) })),
    all: { ...figuresOf(all), up: upOf(all) },
    models: named(found.models, "model"),
    keys: named(found.keys, "key"),
  };
}

function figuresOf(one: Fields): Figures {
  const latency = (value: unknown): Latency | null => {
    const { median, p95 } = fields(value);
    return typeof median === "number" && typeof p95 === "number" ? { median, p95 } : null;
  };
  return {
    requests: number(one.requests),
    errors: Object.fromEntries(Object.entries(fields(one.errors)).map(([status, count]) => [status, number(count)])),
    promptTokens: number(one.promptTokens),
    cachedTokens: number(one.cachedTokens),
    completionTokens: number(one.completionTokens),
    first: latency(one.first),
    total: latency(one.total),
  };
}

function numberOrNull(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}
