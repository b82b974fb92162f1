// The load, memory and counters of the models at this moment, as metrics.

import { Counter, Gauge, Registry } from "prom-client";
import type { ChatMetrics } from "../engine/chat_api.ts";
import { draftBytes } from "../engine/places.ts";
import type { ServedModels } from "./served.ts";

/** A value, or values by the value of the metric's own label. */
type Values = number | Readonly<Record<string, number>>;

interface Definition {
  readonly kind: typeof Gauge | typeof Counter;
  readonly name: string;
  readonly help: string;
  readonly label?: string;
  /** Null: the model has no such figure. */
  readonly of: (engine: ChatMetrics) => Values | null;
}

const DEFINITIONS: readonly Definition[] = [
  { kind: Gauge, name: "requests_queued", help: "Answers that wait for their turn.", of: ({ queued }) => queued },
  { kind: Gauge, name: "requests_running", help: "Answers whose turn it is.", of: ({ running }) => running },
  {
    kind: Gauge,
    name: "requests_waiting_for_memory",
    help: "Those of them that wait for room in the KV cache.",
    of: ({ waiting }) => waiting,
  },
  {
    kind: Gauge,
    name: "kv_cache_usage_ratio",
    help: "Part of the KV cache that answers hold, 0 to 1.",
    of: ({ kv }) => (kv.capacity > 0 ? kv.used / kv.capacity : 0),
  },
  {
    kind: Gauge,
    name: "kv_cache_tokens",
    help: "Positions of the KV cache; cached ones are evicted when needed.",
    label: "state",
    of: ({ kv }) => ({ used: kv.used, cached: kv.cached, free: kv.capacity - kv.used - kv.cached }),
  },
  {
    kind: Counter,
    name: "suspensions_total",
    help: "Answers that gave up their memory to older ones for a while.",
    of: ({ suspensions }) => suspensions,
  },
  {
    kind: Counter,
    name: "recomputed_tokens_total",
    help: "Tokens that were computed again after that.",
    of: ({ recomputedTokens }) => recomputedTokens,
  },
  {
    kind: Gauge,
    name: "memory_bytes",
    help: "Memory of the backend, by what it is used for; all of a draft model's is its own kind.",
    label: "kind",
    of: ({ memory, speculation }) => ({
      ...memory,
      ...(speculation?.draft && { draft: draftBytes(speculation) }),
    }),
  },
  {
    kind: Counter,
    name: "expert_uses_total",
    help: "Experts that steps used, by whether they were where steps are computed.",
    label: "result",
    of: ({ experts }) => experts && usesOf(experts),
  },
  {
    kind: Gauge,
    name: "expert_hit_ratio",
    help: "Hits among all uses since the model was opened.",
    of: ({ experts }) => experts && ratioOf(usesOf(experts)),
  },
  {
    kind: Counter,
    name: "drafted_tokens_total",
    help: "Tokens that steps computed beside the last one, by whether they were then chosen.",
    label: "result",
    of: ({ speculation }) =>
      speculation && { accepted: speculation.accepted, rejected: speculation.drafted - speculation.accepted },
  },
];

/**
 * A registry for one scrape, because the engines keep the counts. Where there are several models,
 * each value has the label `model`.
 */
export function engineMetrics(models: ServedModels): Registry {
  const registry = new Registry();
  const engines = models.cards().flatMap(({ id, model }) => (model ? [{ id, engine: model.metrics() }] : []));
  for (const { kind, name, help, label, of } of DEFINITIONS) {
    const found = engines.flatMap(({ id, engine }) => {
      const values = of(engine);
      return values === null ? [] : [{ own: models.one ? {} : { model: id }, values }];
    });
    if (found.length === 0) continue;
    const labelNames = [...(label === undefined ? [] : [label]), ...(models.one ? [] : ["model"])];
    const metric = new kind({ name: `hotset_${name}`, help, labelNames, registers: [registry] });
    for (const { own, values } of found) {
      if (typeof values === "number") metric.inc(own, values);
      else for (const [key, value] of Object.entries(values)) metric.inc({ [label!]: key, ...own }, value);
    }
  }
  return registry;
}

function usesOf({ main }: NonNullable<ChatMetrics["experts"]>): { hit: number; miss: number } {
  const total = { hit: 0, miss: 0 };
  for (const { hits, misses } of main.layers) {
    total.hit += hits;
    total.miss += misses;
  }
  return total;
}

function ratioOf({ hit, miss }: { hit: number; miss: number }): number {
  return hit + miss > 0 ? hit / (hit + miss) : 1;
}
