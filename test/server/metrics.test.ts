import { describe, expect, it } from "vitest";
import type { ChatModel } from "../../src/engine/chat_api.ts";
import type { ExpertStats } from "../../src/experts/stats.ts";
import { createApp } from "../../src/server/app.ts";
import { createMetrics } from "../../src/server/metrics.ts";
import { type ServedModels, serveOne } from "../../src/server/served.ts";
import { fakeModel } from "./fake_model.ts";

const MESSAGES = [{ role: "user", content: "hi" }] as const;

const LAYER = { routed: 4, hits: 3, misses: 1, admissions: 0, residents: [] };
const EXPERTS: ExpertStats = {
  experts: 8,
  recordBytes: 1,
  main: { slots: 2, layers: [LAYER, LAYER], bytes: { demand: 0, admission: 0, prefetch: 0, wasted: 0 } },
  ram: null,
  packed: null,
  ms: { stall: 0, sync: 0, upload: 0, disk: 0, hostCompute: 0 },
};

/**
 * What `promtool check metrics` would say, by the rules of its
 * linter (prometheus/client_golang, testutil/promlint).
 */
function complaints(text: string): string[] {
  const found: string[] = [];
  const families = new Map<string, string>();
  const seen = new Set<string>();
  for (const line of text.split("\n").filter((one) => one !== "")) {
    const [, kind, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) ?(.*)$/.exec(line) ?? [];
    const complain = (why: string): void => void found.push(`${line}: ${why}`);
    if (kind === "HELP") {
      if (rest.trim() === "") complain("no help text");
    } else if (kind === "TYPE") {
      families.set(name, rest);
      if ((rest === "counter") !== name.endsWith("_total")) complain("counters, and they alone, end in _total");
      if (rest !== "histogram" && /_(bucket|count|sum)$/.test(name)) complain("a suffix of histograms");
      if (/_(gauge|counter|histogram|summary|untyped)(_|$)/.test(name)) complain("a type in the name");
      if (/_(s|ms|us|ns|sec|b|kb|mb|gb|tb|pb|m|h|d)(_|$)/.test(name)) complain("an abbreviated unit");
      if (/(milli|micro|nano|kilo|mega|giga|kibi|mebi|gibi)(seconds|bytes)|minutes|hours|days|percent/.test(name))
        complain("not a base unit");
      if (/[A-Z:]/.test(name)) complain("capitals or colons");
    } else {
      const [, metricName = "", labels = ""] = /^([a-z_][a-z0-9_]*)(?:\{(.*)\})? [0-9.e+-]+$/.exec(line) ?? [];
      const family = families.has(metricName) ? metricName : metricName.replace(/_(bucket|count|sum)$/, "");
      const type = families.get(family);
      if (type === undefined) complain("no type");
      if (type !== "histogram" && /(^|,)le=/.test(labels)) complain("a label of histograms");
      if (/(^|,)([a-z_]*[A-Z][a-zA-Z_]*|quantile)=/.test(labels)) complain("a label's name");
      if (seen.has(`${metricName}{${labels}}`)) complain("twice");
      seen.add(`${metricName}{${labels}}`);
    }
  }
  return found;
}

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
    const lines = (await metrics.text(serveOne(model), true)).split("\n");
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
        'gen_ai_server_time_to_first_token_seconds_sum{gen_ai_operation_name="chat",gen_ai_provider_name="hotset",gen_ai_request_model="fake-mixtral"} 0.03',
        'gen_ai_server_time_per_output_token_seconds_sum{gen_ai_operation_name="chat",gen_ai_provider_name="hotset",gen_ai_request_model="fake-mixtral"} 0.04',
        'hotset_tokens_total{kind="prompt"} 4',
        'hotset_tokens_total{kind="prompt_cached"} 1',
        'hotset_tokens_total{kind="completion"} 2',
        "hotset_requests_running 1",
        'hotset_memory_bytes{kind="weights"} 10',
      ]),
    );
    await answer.return?.();
    // Every line is one that Prometheus reads:
    // https://prometheus.io/docs/instrumenting/exposition_formats/
    const line = /^(# (HELP|TYPE) \w+ .+|[a-z0-9_]+(\{\w+="[^"\\\n]*"(,\w+="[^"\\\n]*")*\})? [0-9.e+-]+)$/;
    expect(lines.at(-1)).toBe("");
    expect(lines.filter((one) => one !== "" && !line.test(one))).toEqual([]);
  });

  it("what Prometheus' linter wants of names, types, units and labels", async () => {
    const model: ChatModel = fakeModel();
    const capacity = { parallel: 16, queue: 256 };
    const app = createApp(
      { ...model, metrics: () => ({ ...model.metrics(), experts: EXPERTS }) },
      { capacity, version: "1" },
    );
    const body = JSON.stringify({ model: "m", messages: MESSAGES });
    await app.request("/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    expect(complaints(await (await app.request("/metrics")).text())).toEqual([]);
    // That it complains at all.
    const bad = "# HELP a_ms x\n# TYPE a_ms counter\na_ms 1\nb 1\n";
    expect(complaints(bad).length).toBeGreaterThan(2);
  });

  it("the KV cache: its use from 0 to 1, and where it went", async () => {
    const model: ChatModel = fakeModel();
    const kv = { capacity: 4096, used: 1024, cached: 512 };
    const short = {
      ...model,
      metrics: () => ({ ...model.metrics(), kv, waiting: 2, suspensions: 3, recomputedTokens: 99 }),
    };
    const lines = (await createMetrics().text(serveOne(short), true)).split("\n");
    expect(lines).toEqual(
      expect.arrayContaining([
        "hotset_kv_cache_usage_ratio 0.25",
        'hotset_kv_cache_tokens{state="free"} 2560',
        "hotset_requests_waiting_for_memory 2",
        "hotset_suspensions_total 3",
        "hotset_recomputed_tokens_total 99",
      ]),
    );
  });

  it("several models: the same by model, of those that are loaded", async () => {
    const one = serveOne({ ...fakeModel(), name: "a" });
    const cards: ServedModels["cards"] = () => [
      one.card("a"),
      { ...one.card("a"), id: "b", model: null, state: "unloaded" },
      { ...one.card("a"), id: "c" },
    ];
    const text = await createMetrics().text({ ...one, one: false, cards }, true);
    expect(text.match(/^hotset_(requests_queued|memory_bytes.*kv).*$/gm)).toEqual([
      'hotset_requests_queued{model="a"} 0',
      'hotset_requests_queued{model="c"} 0',
      'hotset_memory_bytes{kind="kv",model="a"} 2',
      'hotset_memory_bytes{kind="kv",model="c"} 2',
    ]);
    expect(complaints(text)).toEqual([]);
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

  it("OpenTelemetry's names: operation, model and error of a request", async () => {
    const app = createApp(fakeModel());
    const headers = { "content-type": "application/json" };
    for (const body of [{ messages: MESSAGES, model: "any text" }, { messages: 5 }])
      await app.request("/v1/chat/completions", { method: "POST", headers, body: JSON.stringify(body) });
    const text = await (await app.request("/metrics")).text();
    const labels = 'gen_ai_operation_name="chat",gen_ai_provider_name="hotset"';
    expect(text.match(/^gen_ai_server_request_duration_seconds_count.*$/gm)).toEqual([
      `gen_ai_server_request_duration_seconds_count{${labels},gen_ai_request_model="fake-mixtral"} 1`,
      `gen_ai_server_request_duration_seconds_count{${labels},error_type="400"} 1`,
    ]);
    expect(text).toContain("\nhotset_queue_wait_seconds_count 1\n");
  });

  it("experts: hits of the layers together", async () => {
    const model: ChatModel = fakeModel();
    const text = await createMetrics().text(
      serveOne({ ...model, metrics: () => ({ ...model.metrics(), experts: EXPERTS }) }),
      true,
    );
    expect(text).toContain("\nhotset_expert_hit_ratio 0.75\n");
    expect(text).toContain('\nhotset_expert_uses_total{result="miss"} 2\n');
  });

  it("drafts: right and wrong ones, and the memory of a draft model", async () => {
    const model: ChatModel = fakeModel();
    const draft = { name: "small", weights: "q4", memory: { weights: 100, kv: 20, scratch: 3 } };
    const metrics = () => ({ ...model.metrics(), speculation: { drafted: 9, accepted: 7, draft } });
    const text = await createMetrics().text(serveOne({ ...model, metrics }), true);
    expect(text).toContain('\nhotset_drafted_tokens_total{result="accepted"} 7\n');
    expect(text).toContain('\nhotset_drafted_tokens_total{result="rejected"} 2\n');
    expect(text).toContain('\nhotset_memory_bytes{kind="draft"} 123\n');
    expect(await createMetrics().text(serveOne(model), true)).not.toContain("drafted_tokens");
  });
});
