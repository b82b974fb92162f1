import { describe, expect, it } from "vitest";
import type { ChatModel } from "../../src/engine/chat_api.ts";
import { createApp } from "../../src/server/app.ts";
import { createMetrics } from "../../src/server/metrics.ts";
import { fakeModel } from "./fake_model.ts";

const MESSAGES = [{ role: "user", content: "hi" }] as const;

describe("/metrics", () => {
  it("latencies by the clock, tokens by kind", async () => {
    let time = 0;
    const metrics = createMetrics({ clock: () => time });
    const model = fakeModel();
    // Asked at 0, events at 30, 50 and 70 ms: two tokens and the end.
    const answer = metrics.measure(model).chat(MESSAGES);
    for (const wait of [30, 20, 20]) {
      const next = answer.next();
      time += wait;
      await next;
    }
    const lines = metrics.text(model, true).split("\n");
    expect(lines).toEqual(
      expect.arrayContaining([
        "# TYPE hotset_time_to_first_token_seconds histogram",
        'hotset_time_to_first_token_seconds_bucket{le="0.025"} 0',
        'hotset_time_to_first_token_seconds_bucket{le="0.05"} 1',
        'hotset_time_to_first_token_seconds_bucket{le="+Inf"} 1',
        "hotset_time_to_first_token_seconds_sum 0.03",
        "hotset_time_to_first_token_seconds_count 1",
        "hotset_time_per_output_token_seconds_sum 0.04",
        "hotset_answer_seconds_sum 0.07",
        'hotset_tokens_total{kind="prompt"} 4',
        'hotset_tokens_total{kind="prompt_cached"} 1',
        'hotset_tokens_total{kind="completion"} 2',
        "hotset_requests_running 1",
        'hotset_memory_bytes{kind="weights"} 10',
      ]),
    );
    await answer.return?.();
    // Every line is one that Prometheus reads: https://prometheus.io/docs/instrumenting/exposition_formats/
    const line = /^(# (HELP|TYPE) \w+ .+|[a-z_]+(\{\w+="[^"\\\n]*"(,\w+="[^"\\\n]*")*\})? [0-9.e+-]+)$/;
    expect(lines.pop()).toBe("");
    expect(lines.filter((one) => !line.test(one))).toEqual([]);
  });

  it("requests by route and status; made-up paths are one", async () => {
    const app = createApp(fakeModel());
    for (const path of ["/health", "/health", "/v1/models/a", "/v1/models/b", "/x", "/y", "/v1/messages"])
      await app.request(path);
    const text = await (await app.request("/metrics")).text();
    expect(text.match(/^hotset_requests_total.*$/gm)).toEqual([
      'hotset_requests_total{endpoint="/health",status="200"} 2',
      'hotset_requests_total{endpoint="/v1/models/:id",status="200"} 2',
      'hotset_requests_total{endpoint="other",status="404"} 2',
      'hotset_requests_total{endpoint="/v1/messages",status="405"} 1',
    ]);
  });

  it("experts: hits of the layers together", async () => {
    const layer = { routed: 4, hits: 3, misses: 1, admissions: 0, residents: [] };
    const model: ChatModel = fakeModel();
    const main = { slots: 2, layers: [layer, layer], bytes: { demand: 0, admission: 0, prefetch: 0, wasted: 0 } };
    const ms = { stall: 0, sync: 0, upload: 0, disk: 0, hostCompute: 0 };
    const experts = { experts: 8, recordBytes: 1, main, ram: null, ms };
    const text = createMetrics().text({ ...model, metrics: () => ({ ...model.metrics(), experts }) }, true);
    expect(text).toContain("\nhotset_expert_hit_ratio 0.75\n");
    expect(text).toContain('\nhotset_expert_uses_total{result="miss"} 2\n');
  });
});
