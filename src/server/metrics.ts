// GET /metrics: requests, queue, tokens, latencies, experts and memory for Prometheus; and the model with a stopwatch.

import type { ChatEvent, ChatModel } from "../engine/chat_api.ts";
import { createCounter, createHistogram, heading, sample } from "./histogram.ts";

export interface Metrics {
  /** Counts a request that has been answered; `endpoint` is a route, not a path. */
  request(endpoint: string, status: number): void;
  /** The model, every answer of which is measured. */
  readonly model: ChatModel;
  text(): string;
}

const SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const SECONDS_A_TOKEN = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** @param clock milliseconds */
export function createMetrics(model: ChatModel, clock: () => number = () => performance.now()): Metrics {
  const requests = createCounter("hotset_requests_total", "Requests answered, by endpoint and status.");
  const tokens = createCounter("hotset_tokens_total", "Tokens of prompts (cached: not computed again) and of answers.");
  const first = createHistogram("hotset_time_to_first_token_seconds", "From request to first token.", SECONDS);
  const each = createHistogram("hotset_time_per_output_token_seconds", "Mean of each answer.", SECONDS_A_TOKEN);
  const whole = createHistogram("hotset_answer_seconds", "From request to last token.", SECONDS);

  async function* measured(events: AsyncIterable<ChatEvent>): AsyncGenerator<ChatEvent> {
    const asked = clock();
    let begun: number | null = null;
    for await (const event of events) {
      const now = clock();
      if (begun === null) first.observe((now - asked) / 1000);
      begun ??= now;
      if (event.type === "finish") {
        const { promptTokens, cachedTokens, completionTokens } = event.usage;
        tokens.add({ kind: "prompt" }, promptTokens - cachedTokens);
        tokens.add({ kind: "prompt_cached" }, cachedTokens);
        tokens.add({ kind: "completion" }, completionTokens);
        whole.observe((now - asked) / 1000);
        if (completionTokens > 1) each.observe((now - begun) / 1000 / (completionTokens - 1));
      }
      yield event;
    }
  }
  return {
    request: (endpoint, status) => requests.add({ endpoint, status: String(status) }),
    model: {
      name: model.name,
      created: model.created,
      context: model.context,
      chat: (messages, options) => measured(model.chat(messages, options)),
      complete: (prompt, options) => measured(model.complete(prompt, options)),
      countTokens: (messages, options) => model.countTokens(messages, options),
      tokenize: (text, special) => model.tokenize(text, special),
      detokenize: (ids) => model.detokenize(ids),
      embed: (input, signal) => model.embed(input, signal),
      metrics: () => model.metrics(),
    },
    text: () => [requests, tokens, first, each, whole].map((metric) => metric.text()).join("") + gauges(model),
  };
}

/** What the engine knows at this moment. */
function gauges(model: ChatModel): string {
  const { queued, running, memory, experts } = model.metrics();
  const gauge = (name: string, help: string, values: readonly [Record<string, string>, number][]): string =>
    heading(name, "gauge", help) + values.map(([labels, value]) => sample(name, labels, value)).join("");
  const lines = [
    gauge("hotset_requests_queued", "Answers that wait for their turn.", [[{}, queued]]),
    gauge("hotset_requests_running", "Answers that are computed.", [[{}, running]]),
    gauge(
      "hotset_memory_bytes",
      "Memory of the backend, by what it is used for.",
      Object.entries(memory).map(([kind, bytes]) => [{ kind }, bytes]),
    ),
  ];
  if (experts) {
    let [hits, misses] = [0, 0];
    for (const layer of experts.main.layers) {
      hits += layer.hits;
      misses += layer.misses;
    }
    const name = "hotset_expert_uses_total";
    lines.push(
      `${heading(name, "counter", "Experts that steps used, by whether they were where steps are computed.")}${sample(name, { result: "hit" }, hits)}${sample(name, { result: "miss" }, misses)}`,
      gauge("hotset_expert_hit_ratio", "Hits among all uses since the model was opened.", [
        [{}, hits + misses > 0 ? hits / (hits + misses) : 1],
      ]),
    );
  }
  return lines.join("");
}
