// GET /metrics: requests, queue, tokens, latencies, capacity, experts and memory for Prometheus.

import type { ChatModel } from "../engine/chat_api.ts";
import type { Answering } from "./held_model.ts";
import { createCounter, createHistogram, type Histogram, type Labels, metric } from "./histogram.ts";
import { measuredModel, OUTCOMES, type Watch } from "./measured.ts";
import type { RequestSummary, TrackedRequest } from "./tracked_request.ts";

/** The server's limits. Unknown ones are left out of the metrics. */
export interface Capacity {
  /** Most answers that are computed at once. */
  readonly parallel?: number;
  /** Most requests that wait. */
  readonly queue?: number;
}

export interface MetricsOptions {
  readonly capacity?: Capacity;
  /** For hotset_build_info. */
  readonly version?: string;
  /** Milliseconds. */
  readonly clock?: () => number;
}

export interface Metrics {
  /** Counts a finished request. */
  request(record: RequestSummary): void;
  /**
   * Wraps the model so that every answer is measured; `requestOf` finds an answer's request
   * by its signal.
   */
  measure(model: Answering, requestOf?: (signal: AbortSignal | undefined) => TrackedRequest | undefined): Answering;
  /** @param model null while it is being loaded */
  text(model: ChatModel | null, ready: boolean): string;
}

const SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const SECONDS_A_TOKEN = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** The operations that OpenTelemetry has names for, by endpoint. */
const OPERATIONS: Readonly<Record<string, string>> = {
  "/v1/chat/completions": "chat",
  "/v1/messages": "chat",
  "/v1/completions": "text_completion",
  "/v1/embeddings": "embeddings",
};

export function createMetrics(options: MetricsOptions = {}): Metrics {
  const { clock = () => performance.now(), capacity = {}, version = "unknown" } = options;
  const requests = createCounter(
    "hotset_requests_total",
    "Requests that are over, by endpoint and status; a stream that broke off has its failure's, one that its client left 499.",
  );
  const answers = createCounter("hotset_answers_total", "Answers that are over, by how they ended.");
  const tokens = createCounter("hotset_tokens_total", "Tokens of prompts (cached: not computed again) and of answers.");
  const first = createHistogram("hotset_time_to_first_token_seconds", "From request to first token.", SECONDS);
  const each = createHistogram("hotset_time_per_output_token_seconds", "Mean of each answer.", SECONDS_A_TOKEN);
  const whole = createHistogram("hotset_answer_seconds", "From request to last token.", SECONDS);
  // The same under OpenTelemetry's names, by operation.
  const otel = (name: string, help: string, bounds: readonly number[]): Histogram =>
    createHistogram(`gen_ai_server_${name}_seconds`, `${help}, as OpenTelemetry names it.`, bounds, null);
  const duration = otel("request_duration", "From request to the end of its answer", SECONDS);
  const otelFirst = otel("time_to_first_token", "From request to first token", SECONDS);
  const otelEach = otel("time_per_output_token", "Mean of each answer", SECONDS_A_TOKEN);
  const labels = (operation: string): Labels => ({ gen_ai_operation_name: operation, gen_ai_provider_name: "hotset" });
  // Present from the start, so that their first increase is visible.
  for (const kind of ["prompt", "prompt_cached", "completion"]) tokens.add({ kind }, 0);
  for (const outcome of OUTCOMES) answers.add({ outcome }, 0);
  const watch: Watch = {
    tokens: (kind, count) => tokens.add({ kind }, count),
    first(operation, ms) {
      first.observe(ms / 1000);
      otelFirst.observe(ms / 1000, labels(operation));
    },
    whole(operation, ms, decodeMs, completionTokens) {
      whole.observe(ms / 1000);
      if (completionTokens < 2) return;
      const seconds = decodeMs / 1000 / (completionTokens - 1);
      each.observe(seconds);
      otelEach.observe(seconds, labels(operation));
    },
    answer: (outcome) => answers.add({ outcome }),
  };
  return {
    request({ endpoint, status, ms }) {
      requests.add({ endpoint, status: String(status) });
      const operation = OPERATIONS[endpoint];
      if (operation === undefined) return;
      const error: Labels = status >= 400 ? { error_type: String(status) } : {};
      duration.observe(ms / 1000, { ...labels(operation), ...error });
    },
    measure: (model, requestOf = () => undefined) => measuredModel(model, watch, requestOf, clock),
    text: (model, ready) =>
      [requests, answers, tokens, first, each, whole, duration, otelFirst, otelEach].map((one) => one.text()).join("") +
      metric("hotset_build_info", "gauge", "What runs; always 1.", [[{ version, node: process.versions.node }, 1]]) +
      metric("hotset_ready", "gauge", "1 where /readyz says that requests are taken.", ready ? 1 : 0) +
      limits(capacity) +
      (model ? gauges(model) : ""),
  };
}

function limits({ parallel, queue }: Capacity): string {
  const known = (name: string, help: string, value: number | undefined): string =>
    value === undefined || !Number.isFinite(value) ? "" : metric(name, "gauge", help, value);
  return (
    known("hotset_requests_running_limit", "Answers that may be computed at once.", parallel) +
    known("hotset_requests_queued_limit", "Answers that may wait; more are refused.", queue)
  );
}

/** The engine's present state. */
function gauges(model: ChatModel): string {
  const { queued, running, waiting, kv, suspensions, recomputedTokens, memory, experts } = model.metrics();
  const { capacity, used, cached } = kv;
  const lines = [
    metric("hotset_requests_queued", "gauge", "Answers that wait for their turn.", queued),
    metric("hotset_requests_running", "gauge", "Answers whose turn it is.", running),
    metric("hotset_requests_waiting_for_memory", "gauge", "Those of them that wait for room in the KV cache.", waiting),
    metric("hotset_kv_cache_usage_ratio", "gauge", "Part of the KV cache that answers hold, 0 to 1.", used / capacity),
    metric("hotset_kv_cache_tokens", "gauge", "Positions of the KV cache; cached ones are evicted when needed.", [
      [{ state: "used" }, used],
      [{ state: "cached" }, cached],
      [{ state: "free" }, capacity - used - cached],
    ]),
    metric(
      "hotset_suspensions_total",
      "counter",
      "Answers that gave up their memory to older ones for a while.",
      suspensions,
    ),
    metric(
      "hotset_recomputed_tokens_total",
      "counter",
      "Tokens that were computed again after that.",
      recomputedTokens,
    ),
    metric(
      "hotset_memory_bytes",
      "gauge",
      "Memory of the backend, by what it is used for.",
      Object.entries(memory).map(([kind, bytes]) => [{ kind }, bytes] as const),
    ),
  ];
  if (experts) {
    let [hits, misses] = [0, 0];
    for (const layer of experts.main.layers) {
      hits += layer.hits;
      misses += layer.misses;
    }
    lines.push(
      metric(
        "hotset_expert_uses_total",
        "counter",
        "Experts that steps used, by whether they were where steps are computed.",
        [
          [{ result: "hit" }, hits],
          [{ result: "miss" }, misses],
        ],
      ),
      metric(
        "hotset_expert_hit_ratio",
        "gauge",
        "Hits among all uses since the model was opened.",
        hits + misses > 0 ? hits / (hits + misses) : 1,
      ),
    );
  }
  return lines.join("");
}
