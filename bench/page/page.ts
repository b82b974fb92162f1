// The page: shows the adapter, runs the stages when it is told to, shows and hands out results.

import { adapterFacts, LAYERS, memoryGb, planFor } from "./adapter.ts";
import { runStages } from "./stages.ts";
import type { AdapterFacts, PageResult, Plan, StageResult } from "./types.ts";
import { adapterView, stageView } from "./view.ts";

/** Replaced by the build. */
declare const HOTSET_COMMIT: string | null;

const find = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const run = find<HTMLButtonElement>("run");
const stop = find<HTMLButtonElement>("stop");
const copy = find<HTMLButtonElement>("copy");
const download = find<HTMLButtonElement>("download");
const layers = find<HTMLSelectElement>("layers");
const minutes = find<HTMLInputElement>("minutes");
const status = find("status");
const results = find("results");

/** The result so far, and its file name. */
let json = "";
let file = "";

function hand(adapter: AdapterFacts, plan: Plan, date: string, stages: readonly StageResult[]): void {
  const result: PageResult = {
    schema: 1,
    kind: "page",
    date,
    commit: HOTSET_COMMIT,
    browser: { userAgent: navigator.userAgent, cores: navigator.hardwareConcurrency, memoryGb: memoryGb() },
    adapter,
    plan,
    stages,
  };
  json = JSON.stringify(result, null, 1);
  file = `hotset-${adapter.architecture || adapter.vendor || "webgpu"}-${date.slice(0, 10)}.json`;
  download.disabled = false;
  copy.disabled = false;
}

/** Details that are open stay so when a stage is drawn again. */
function draw(stages: readonly StageResult[]): void {
  const open = [...results.querySelectorAll("details")].map((one) => one.open);
  results.replaceChildren(...stages.map(stageView));
  for (const [i, one] of [...results.querySelectorAll("details")].entries()) one.open = open[i] ?? false;
}

async function start(adapter: AdapterFacts, base: Plan): Promise<void> {
  const plan = { ...base, layers: Number(layers.value), minutes: Number(minutes.value) };
  const date = new Date().toISOString();
  const controller = new AbortController();
  stop.onclick = () => controller.abort();
  run.disabled = true;
  stop.disabled = false;
  const stages = await runStages(plan, {
    signal: controller.signal,
    onChange(now, doing) {
      if (doing) status.textContent = doing;
      draw(now);
      hand(adapter, plan, date, now);
    },
  });
  hand(adapter, plan, date, stages);
  const bad = stages.filter(({ state }) => state === "failed").map(({ name }) => name);
  const end = controller.signal.aborted ? "Stopped" : "Done";
  status.textContent = `${end}${bad.length > 0 ? `, but ${bad.join(", ")} failed` : ""}. Copy or download the JSON and send it.`;
  run.disabled = false;
  stop.disabled = true;
}

copy.onclick = async () => {
  await navigator.clipboard.writeText(json);
  status.textContent = "Copied.";
};

download.onclick = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([json], { type: "application/json" }));
  link.download = file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
};

try {
  const adapter = await adapterFacts();
  const plan = planFor(adapter, new URLSearchParams(location.search));
  find("adapter").replaceChildren(adapterView(adapter));
  for (const count of new Set([...LAYERS, plan.layers])) layers.append(new Option(String(count), String(count)));
  layers.value = String(plan.layers);
  minutes.value = String(plan.minutes);
  find<HTMLFormElement>("controls").onsubmit = (event) => {
    event.preventDefault();
    void start(adapter, plan);
  };
  status.textContent = adapter.software
    ? "A software adapter: this proves that it works, times say nothing."
    : "Ready.";
} catch (error) {
  run.disabled = true;
  status.textContent = String(error);
}
