// The end of a test run: what was skipped and what failed, by name, and the plain line "N passed, N
// failed, N skipped".

import { writeFileSync } from "node:fs";
import type { Reporter, SerializedError, TestCase, TestModule, TestSuite } from "vitest/node";

/** What .ci/run reads: how many tests passed on WebGPU adapters, and the plain line. */
const SUMMARY_FILE = new URL("../../dist/test-summary.txt", import.meta.url);

/** Tests on an adapter have its name after this word (test/support/backends.ts). */
const ON_ADAPTER = /\bwebgpu (?!\(no adapter)/;

export default class Summary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: string): number => tests.filter((test) => test.result().state === state).length;
    // A file that cannot be loaded and an error outside any test fail the run too.
    const failed = count("failed") + modules.filter((module) => module.errors().length > 0).length + errors.length;
    const line = `${count("passed")} passed, ${failed} failed, ${count("skipped")} skipped`;
    for (const module of modules) {
      for (const name of skipped(module)) console.log(`skipped: ${module.relativeModuleId} > ${name}`);
    }
    const onAdapter = tests.filter((test) => test.result().state === "passed" && ON_ADAPTER.test(test.fullName)).length;
    console.log(`${onAdapter} of the passed tests ran on WebGPU adapters`);
    // Last, so that it is visible at the end of a long output.
    for (const text of failures(modules, errors)) console.log(`failed: ${text}`);
    console.log(line);
    writeFileSync(SUMMARY_FILE, `${onAdapter} on WebGPU adapters\n${line}\n`);
  }
}

/** What failed, by name, each with the first line of its reason. */
function failures(modules: readonly TestModule[], errors: readonly SerializedError[]): string[] {
  const reasonOf = (found: readonly SerializedError[]): string =>
    String(found[0]?.message ?? "no reason given").split("\n")[0]!;
  return [
    ...modules.flatMap((module) => [
      ...module.errors().map((error) => `${module.relativeModuleId}: ${reasonOf([error])}`),
      ...[...module.children.allTests("failed")].map(
        (test) => `${module.relativeModuleId} > ${test.fullName}: ${reasonOf(test.result().errors ?? [])}`,
      ),
    ]),
    ...errors.map((error) => `outside any test: ${reasonOf([error])}`),
  ];
}

/** Names of skipped tests; a suite that is skipped whole is one name. */
function skipped(parent: TestModule | TestSuite): string[] {
  return [...parent.children].flatMap((child) => {
    const tests = child.type === "test" ? [child] : [...child.children.allTests()];
    if (tests.length === 0 || !tests.every(isSkipped)) return child.type === "suite" ? skipped(child) : [];
    const note = tests.map((test) => reason(test)).find((text) => text !== undefined);
    const more = child.type === "suite" ? ` (${tests.length} tests)` : "";
    return [`${child.fullName}${more}${note ? `: ${note}` : ""}`];
  });
}

function isSkipped(test: TestCase): boolean {
  return test.result().state === "skipped";
}

/** What a test gave to ctx.skip(). */
function reason(test: TestCase): string | undefined {
  const result = test.result();
  return result.state === "skipped" ? result.note : undefined;
}
