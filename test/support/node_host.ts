// Runs compiled test files in Node, or in Deno, without vitest: `node
// dist/test/support/node_host.js [--list] dist/test/x.test.js ... [-t pattern]`.
//
// For machines with only the packages of RUNNER_PACKAGES. --list prints the cases and runs none; -t
// selects cases whose name a regular expression matches. The last line is "N passed, N failed, N
// skipped"; the exit code is 1 after a failure or if nothing ran.

import * as module from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { type Case, type CaseReport, runFiles } from "./runner.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { list: { type: "boolean", default: false }, only: { type: "string", short: "t", default: "" } },
});

// Test files import "vitest", which resolves to the runner that this file imports; in Deno by an
// import map.
const hook = `export const resolve = (name, context, next) =>
  name === "vitest" ? { url: ${JSON.stringify(new URL("./runner.js", import.meta.url).href)}, shortCircuit: true } : next(name, context);`;
if (!("Deno" in globalThis)) module.register(`data:text/javascript,${encodeURIComponent(hook)}`);

const counts = { passed: 0, failed: 0, skipped: 0 };

const only = new RegExp(values.only);

function choose(cases: readonly Case[]): string[] {
  const chosen = cases.filter(({ name }) => only.test(name));
  if (!values.list) return chosen.map(({ id }) => id);
  for (const { name } of chosen) console.log(name);
  return [];
}

function report({ status, name, ms, reason }: CaseReport): void {
  if (values.list || (status === "skipped" && !only.test(name))) return;
  counts[status]++;
  console.log(`${status} ${name} (${ms} ms)${reason ? `: ${reason}` : ""}`);
}

await runFiles(
  positionals.map((path) => pathToFileURL(resolve(path)).href),
  { load: (file) => import(file), choose, report },
);
if (!values.list) {
  console.log(
    Object.entries(counts)
      .map(([status, count]) => `${count} ${status}`)
      .join(", "),
  );
  if (counts.failed > 0 || counts.passed === 0) process.exitCode = 1;
}
