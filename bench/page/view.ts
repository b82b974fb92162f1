// What the page shows: the adapter, and a table of each stage.

import { variantInWords } from "../../src/backend/webgpu/tuning/words.ts";
import { formatBytes } from "../../src/cli/output.ts";
import type { ProfileCase, ProfileReport } from "../profile.ts";
import type { AdapterFacts, StageResult } from "./types.ts";

type Child = Node | string;

function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  children: readonly Child[] = [],
  className = "",
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  made.append(...children);
  if (className) made.className = className;
  return made;
}

function facts(rows: readonly (readonly [string, string])[]): HTMLElement {
  return element(
    "dl",
    rows.flatMap(([term, value]) => [element("dt", [term]), element("dd", [value])]),
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[], className = ""): HTMLElement {
  const cells = (name: "th" | "td", row: readonly string[]) =>
    element(
      "tr",
      row.map((cell) => element(name, [cell])),
    );
  const body = element(
    "tbody",
    rows.map((row) => cells("td", row)),
  );
  return element("div", [element("table", [element("thead", [cells("th", head)]), body], className)], "wide");
}

export function adapterView(adapter: AdapterFacts): HTMLElement {
  const { name, software, vendor, architecture, device, subgroups, limits, features } = adapter;
  return facts([
    ["adapter", `${name}${software ? " (software, computed on the CPU)" : ""}`],
    ["vendor", [vendor, architecture, device].filter(Boolean).join(", ") || "not told"],
    [
      "buffers",
      `${formatBytes(limits.maxBufferSize!)} at most, ${formatBytes(limits.maxStorageBufferBindingSize!)} a binding`,
    ],
    [
      "workgroups",
      `${limits.maxComputeInvocationsPerWorkgroup} invocations, ${formatBytes(limits.maxComputeWorkgroupStorageSize!)} of memory`,
    ],
    ["subgroups", subgroups ? subgroups.join(" to ") : "none"],
    ["features", features.join(", ")],
  ]);
}

export function stageView(stage: StageResult): HTMLElement {
  const { name, state, ms, notes, conformance, profile } = stage;
  const parts: Child[] = [element("h2", [`${name}: ${state}, ${(ms / 1000).toFixed(0)} s`])];
  for (const note of notes) parts.push(element("p", [note], "note bad"));
  if (conformance) {
    const { declared, passed, failed, skipped } = conformance;
    parts.push(element("p", [`${passed} of ${declared} passed, ${failed.length} failed, ${skipped} skipped`], "note"));
    for (const one of failed) parts.push(element("p", [`${one.name}: ${one.reason}`], "note bad"));
  }
  if (profile) parts.push(...profileViews(profile));
  return element("section", parts);
}

function profileViews(report: ProfileReport): HTMLElement[] {
  const { model, layers, loadMs, memory, copy, cases, skipped, failed, tuned, backend } = report;
  const parts = [
    facts([
      [
        "model",
        `${model}: ${layers} layers, ${formatBytes(memory.weights)}, loaded and tuned in ${(loadMs / 1000).toFixed(1)} s`,
      ],
      ["copy", `${formatBytes(copy.bytesPerSecond)}/s read and written`],
      ["times", timing(cases[0])],
    ]),
    table(
      ["", "ms", "tok/s", "ms a layer", "weights, % of copy", "kernels ms", "dispatches", "submits"],
      cases.map((c) => [
        c.name,
        c.stepMs.toFixed(3),
        c.tokensPerSecond.toFixed(1),
        (c.stepMs / layers).toFixed(3),
        (100 * c.weightsOfCopy).toFixed(1),
        c.kernelMs === null ? "-" : c.kernelMs.toFixed(3),
        c.dispatches.toFixed(0),
        c.submits.toFixed(0),
      ]),
    ),
  ];
  for (const { name, error } of failed) parts.push(element("p", [`${name}: ${error}`], "note bad"));
  if (skipped.length > 0) parts.push(element("p", [`not begun in time: ${skipped.join(", ")}`], "note"));
  for (const c of cases) parts.push(kernelView(c));
  const choices = Object.entries(tuned).map(([problem, found]) => [problem, variantInWords(found)]);
  const left = (backend.leftOut ?? []).map((why) => ["left out", why]);
  parts.push(
    element("details", [
      element("summary", ["the tuner's choices"]),
      table(["problem", "variant"], [...choices, ...left], "words"),
    ]),
  );
  return parts;
}

/** Where the times of kernels come from. */
function timing(c: ProfileCase | undefined): string {
  if (!c) return "none yet";
  if (c.grainNs === null) return "by the clock, whole steps only: this browser gives no timestamps";
  if (c.grainNs < 1000) return `steps by the clock, kernels by timestamps of ${c.grainNs} ns`;
  return `steps by the clock; kernels by timestamps of ${(c.grainNs / 1000).toFixed(1)} us, summed over layers and steps, with the error that is left`;
}

function kernelView(c: ProfileCase): HTMLElement {
  const show = (value: number | null, scale: number, digits: number): string =>
    value === null ? "-" : (value * scale).toFixed(digits);
  return element("details", [
    element("summary", [`kernels: ${c.name}`]),
    table(
      ["kernel", "calls", "ms", "+/-", "%", "bytes", "GB/s", "% of copy", "GFLOP/s"],
      c.kernels.map((row) => [
        row.kernel,
        row.calls.toFixed(Number.isInteger(row.calls) ? 0 : 1),
        show(row.ms, 1, 3),
        show(row.errorMs, 1, 3),
        show(row.share, 100, 1),
        formatBytes(row.bytes),
        show(row.bytesPerSecond, 1e-9, 2),
        show(row.ofCopy, 100, 1),
        show(row.flopsPerSecond, 1e-9, 1),
      ]),
    ),
  ]);
}
