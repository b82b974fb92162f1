// GET /metrics: requests, queue, tokens, latencies and limits of the server, for Prometheus.

import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { engineMetrics } from "./engine_metrics.ts";
import type { Answering } from "./held_model.ts";
import { type Answered, measuredModel, OUTCOMES, type Watch } from "./measured.ts";
import { modelMetrics } from "./model_metrics.ts";
import { processMetrics } from "./process_metrics.ts";
import type { ServedModels } from "./served.ts";
import { Speed } from "./speed.ts";
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
  /** Of each model. */
  readonly speed: Speed;
  /** @param models null while the only one is being loaded */
  text(models: ServedModels | null, ready: boolean): Promise<string>;
}

const SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const SECONDS_A_TOKEN = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** The buckets that OpenTelemetry's conventions for generative AI prescribe. */
const OTEL_REQUEST = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const OTEL_FIRST = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const OTEL_EACH = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5];

/** The operations that OpenTelemetry has names for, by endpoint. */
export const OPERATIONS: Readonly<Record<string, string>> = {
  "/v1/chat/completions": "chat",
  "/v1/responses": "chat",
  "/v1/messages": "chat",
  "/v1/completions": "text_completion",
  "/v1/embeddings": "embeddings",
  "/api/chat": "chat",
  "/api/generate": "text_completion",
  "/api/embed": "embeddings",
  "/api/embeddings": "embeddings",
};

/** Its labels, as Prometheus spells them. */
const OTEL_LABELS = ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"] as const;

export function createMetrics(options: MetricsOptions = {}): Metrics {
  const { clock = () => performance.now(), capacity = {}, version = "unknown" } = options;
  const registry = new Registry();
  const registers = [registry];
  const speed = new Speed(clock);
  const requests = new Counter({
    name: "hotset_requests_total",
    help: "Requests that are over, by endpoint and status; a stream that broke off has its failure's, one that its client left 499.",
    labelNames: ["endpoint", "status"],
    registers,
  });
  const answers = new Counter({
    name: "hotset_answers_total",
    help: "Answers that are over, by how they ended.",
    labelNames: ["outcome"],
    registers,
  });
  const tokens = new Counter({
    name: "hotset_tokens_total",
    help: "Tokens of prompts (cached: not computed again) and of answers.",
    labelNames: ["kind"],
    registers,
  });
  const histogram = (name: string, help: string, buckets: number[]): Histogram =>
    new Histogram({ name: `hotset_${name}_seconds`, help, buckets, registers });
  const waited = histogram("queue_wait", "From request to its turn.", SECONDS);
  const first = histogram("time_to_first_token", "From request to first token.", SECONDS);
  const each = histogram("time_per_output_token", "Mean of each answer.", SECONDS_A_TOKEN);
  const whole = histogram("answer", "From request to last token.", SECONDS);
  const otel = (name: string, help: string, buckets: number[]): Histogram<(typeof OTEL_LABELS)[number]> =>
    new Histogram({
      name: `gen_ai_server_${name}_seconds`,
      help: `${help}, as OpenTelemetry names it.`,
      labelNames: OTEL_LABELS,
      buckets,
      registers,
    });
  const otelRequest = otel("request_duration", "From request to the end of its answer", OTEL_REQUEST);
  const otelFirst = otel("time_to_first_token", "From request to first token", OTEL_FIRST);
  const otelEach = otel("time_per_output_token", "Mean of each answer", OTEL_EACH);
  const otelLabels = (operation: string, model: string | null) => ({
    gen_ai_operation_name: operation,
    gen_ai_provider_name: "hotset",
    // The model that answers, not what the request calls it: any text is accepted there.
    ...(model !== null && { gen_ai_request_model: model }),
  });
  // Present from the start, so that their first increase is visible.
  for (const kind of ["prompt", "prompt_cached", "completion"]) tokens.inc({ kind }, 0);
  for (const outcome of OUTCOMES) answers.inc({ outcome }, 0);
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers });
  new Gauge({
    name: "hotset_build_info",
    help: "What runs; always 1.",
    labelNames: ["version", "node"],
    registers,
  }).set({ version, node: process.versions.node }, 1);
  const isReady = gauge("hotset_ready", "1 where /readyz says that requests are taken.");
  const { parallel = Number.NaN, queue = Number.NaN } = capacity;
  if (Number.isFinite(parallel))
    gauge("hotset_requests_running_limit", "Answers that may be computed at once.").set(parallel);
  if (Number.isFinite(queue))
    gauge("hotset_requests_queued_limit", "Answers that may wait; more are refused.").set(queue);

  const watch: Watch = {
    tokens(kind, count, model) {
      // A counter throws at less than 0, and no answer may fail because of its metrics.
      tokens.inc({ kind }, Math.max(0, count));
      if (kind === "completion") speed.add(model, Math.max(0, count));
    },
    turn: (ms) => waited.observe(ms / 1000),
    first({ operation, model }: Answered, ms) {
      first.observe(ms / 1000);
      otelFirst.observe(otelLabels(operation, model), ms / 1000);
    },
    whole({ operation, model }: Answered, ms, decodeMs, completionTokens) {
      whole.observe(ms / 1000);
      if (completionTokens < 2) return;
      const seconds = decodeMs / 1000 / (completionTokens - 1);
      each.observe(seconds);
      otelEach.observe(otelLabels(operation, model), seconds);
    },
    answer: (outcome) => answers.inc({ outcome }),
  };
  return {
    request({ endpoint, status, ms, model }) {
      requests.inc({ endpoint, status: String(status) });
      const operation = OPERATIONS[endpoint];
      if (operation === undefined) return;
      const error = status >= 400 ? { error_type: String(status) } : {};
      otelRequest.observe({ ...otelLabels(operation, model), ...error }, ms / 1000);
    },
    speed,
    measure: (model, requestOf = () => undefined) => measuredModel(model, watch, requestOf, clock),
    text(models, ready) {
      isReady.set(ready ? 1 : 0);
      const engines = models ? [engineMetrics(models)] : [];
      if (models && !models.one) engines.push(modelMetrics(models));
      return Registry.merge([registry, ...engines, processMetrics()]).metrics();
    },
  };
}
