// The stages of a run in the page, in order of worth: each in a worker of its own, within the time
// that is left.

import type { Conformance, News, Order, Plan, StageResult } from "./types.ts";

/** Share of the time that the conformance suite may take. */
const CONFORMANCE_SHARE = 0.15;
/** What a worker has beyond its budget of time to end a case that it has begun. */
const GRACE_MS = 30_000;

export interface RunOptions {
  readonly signal: AbortSignal;
  /** Called with all stages so far, whenever one of them has something new. */
  onChange(stages: readonly StageResult[], doing: string): void;
}

/** Runs all stages. A stage that fails does not keep the next from running. */
export async function runStages(plan: Plan, { signal, onChange }: RunOptions): Promise<readonly StageResult[]> {
  const until = performance.now() + 60_000 * plan.minutes;
  const results: StageResult[] = [];
  const stage = async (name: string, orders: readonly ((budgetMs: number) => Order)[], ms: number): Promise<void> => {
    if (signal.aborted || ms <= 0) return;
    const started = performance.now();
    const at = results.length;
    let now: StageResult = { name, state: "running", ms: 0, notes: [] };
    const change = (news: Partial<StageResult>, doing: string): void => {
      now = { ...now, ms: Math.round(performance.now() - started), ...news };
      results[at] = now;
      onChange([...results], doing ? `${name}: ${doing}` : "");
    };
    change({}, "starting");
    // The same with less memory, as long as that is what is missing.
    for (const order of orders) {
      const left = ms - (performance.now() - started);
      const end = await inWorker(order(left), left, signal, (news) => {
        if (news.kind === "progress") change({}, news.text);
        else if (news.kind === "profile") change({ profile: news.report }, "");
        else if (news.kind === "declared") {
          change({ conformance: { declared: news.cases, passed: 0, skipped: 0, failed: [] } }, "");
        } else if (news.kind === "case" && now.conformance) {
          const conformance = counted(now.conformance, news.report);
          change({ conformance }, `${conformance.passed + conformance.failed.length} of ${conformance.declared}`);
        }
      });
      change({ state: end.state, notes: end.error === null ? now.notes : [...now.notes, end.error] }, "");
      if (!end.memory || now.profile?.cases.length) break;
    }
  };

  const { conformance, weights, cases, tokens } = plan;
  if (conformance !== "") {
    const ms = CONFORMANCE_SHARE * 60_000 * plan.minutes;
    await stage("conformance", [() => ({ kind: "conformance", pattern: conformance })], ms);
  }
  for (const [i, format] of weights.entries()) {
    const left = until - performance.now();
    const ms = i === weights.length - 1 ? left : (2 / 3) * left;
    const orders = halved(plan.layers).map((layers) => (budgetMs: number): Order => {
      const model = plan.model.replaceAll("LAYERS", String(layers));
      return { kind: "profile", model, weights: format, cases, tokens, budgetMs };
    });
    await stage(`${format} weights`, orders, ms);
  }
  return results;
}

/** 4, 2, 1. */
function halved(layers: number): number[] {
  return layers > 1 ? [layers, ...halved(Math.floor(layers / 2))] : [1];
}

function counted(soFar: Conformance, { status, name, reason }: Extract<News, { kind: "case" }>["report"]): Conformance {
  if (status === "failed") return { ...soFar, failed: [...soFar.failed, { name, reason }] };
  return { ...soFar, [status]: soFar[status] + 1 };
}

interface End {
  readonly state: StageResult["state"];
  readonly error: string | null;
  /** Whether it failed for want of memory. */
  readonly memory: boolean;
}

function inWorker(order: Order, ms: number, signal: AbortSignal, onNews: (news: News) => void): Promise<End> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  return new Promise<End>((resolve) => {
    const grace = order.kind === "profile" ? GRACE_MS : 0;
    const timer = setTimeout(() => end("out of time"), Math.max(0, ms) + grace);
    const stop = (): void => end("stopped");
    const end = (state: End["state"], error: string | null = null, memory = false): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      worker.terminate();
      resolve({ state, error, memory });
    };
    signal.addEventListener("abort", stop);
    worker.addEventListener("message", ({ data }: MessageEvent<News>) => {
      if (data.kind === "done") end("done");
      else if (data.kind === "failed") end("failed", data.error, data.memory);
      else onNews(data);
    });
    worker.addEventListener("error", (event) => end("failed", event.message || "the worker could not be started"));
    worker.postMessage(order);
  });
}
