// One stage of a run, in a thread of its own: what it holds on the device goes when it ends, and
// it can be ended at any time.

import { MemoryError } from "../../src/errors.ts";
import { runFiles } from "../../test/support/runner.ts";
import { parseCases } from "../cases.ts";
import { pooled } from "../pooled.ts";
import { profile } from "../profile.ts";
import { stepsOn } from "../steps.ts";
import { openSynthetic } from "../synthetic.ts";
import type { News, Order } from "./types.ts";

const tell = (news: News): void => postMessage(news);

async function conformance({ pattern }: Extract<Order, { kind: "conformance" }>): Promise<void> {
  const wanted = new RegExp(pattern);
  await runFiles(["test/backend/webgpu.test.ts"], {
    load: () => import("../../test/backend/webgpu.test.ts"),
    choose(cases) {
      const chosen = cases.filter(({ name }) => wanted.test(name));
      tell({ kind: "declared", cases: chosen.length });
      return chosen.map(({ id }) => id);
    },
    report(report) {
      if (report.status !== "skipped" || wanted.test(report.name)) tell({ kind: "case", report });
    },
  });
}

async function measure(order: Extract<Order, { kind: "profile" }>): Promise<void> {
  const { model, weights, cases, tokens, budgetMs } = order;
  const until = performance.now() + budgetMs;
  const list = parseCases("cases", cases);
  const options = { model, weights, kv: "f16", chunk: 512 } as const;
  tell({ kind: "progress", text: `loading ${model} in ${weights}, and timing variants of kernels` });
  const steps = await stepsOn(navigator.gpu, pooled(openSynthetic(model)), options);
  tell({ kind: "progress", text: `copy bandwidth, ${list[0]!.name}` });
  const report = await profile(steps, {
    ...options,
    cases: list,
    tokens,
    budgetMs: until - performance.now(),
    onCase(done, soFar) {
      const next = list[list.findIndex(({ name }) => name === done.name) + 1];
      tell({ kind: "profile", report: soFar });
      if (next) tell({ kind: "progress", text: next.name });
    },
  });
  tell({ kind: "profile", report });
  await steps.close();
}

addEventListener("message", async ({ data }: MessageEvent<Order>) => {
  try {
    await (data.kind === "conformance" ? conformance(data) : measure(data));
    tell({ kind: "done" });
  } catch (error) {
    tell({ kind: "failed", error: String(error), memory: error instanceof MemoryError });
  }
});
