// Stands for "vitest" where vitest cannot run, in a page and on a bare machine: its own runner and
// its own `expect`, and a report for every case. Knows nothing of Node or of a page; page_host.ts
// and node_host.ts do.

import {
  ASYMMETRIC_MATCHERS_OBJECT,
  chai,
  type ExpectStatic,
  JestAsymmetricMatchers,
  JestChaiExpect,
  JestExtend,
} from "@vitest/expect";
import { type File, type Suite, startTests, type Test, type VitestRunner } from "@vitest/runner";
import { getTestName, getTests, interpretTaskModes } from "@vitest/runner/utils";
import { HUNG } from "./patience.ts";

export { afterAll, afterEach, beforeAll, beforeEach, describe, it, onTestFinished, test } from "@vitest/runner";

for (const plugin of [JestExtend, JestChaiExpect, JestAsymmetricMatchers]) chai.use(plugin);

/** vitest's expect, without what needs its server: snapshots and poll(). */
export const expect: ExpectStatic = Object.assign(
  (value: unknown, message?: string) => chai.expect(value, message),
  chai.expect,
  (globalThis as { [ASYMMETRIC_MATCHERS_OBJECT]?: object })[ASYMMETRIC_MATCHERS_OBJECT],
) as unknown as ExpectStatic;

/** A case as its file declares it. */
export interface Case {
  /** Names one case of a run, also where two have the same name. */
  readonly id: string;
  /** The titles of its suites and its own, with " > " between them. */
  readonly name: string;
}

export interface CaseReport extends Case {
  readonly status: "passed" | "failed" | "skipped";
  /** What went wrong, or why it did not run. */
  readonly reason: string | null;
  readonly ms: number;
}

export interface RunOptions {
  /** Imports a test file: what it declares are the cases. */
  load(file: string): Promise<unknown>;
  /**
   * Is told all cases before the first one runs, and chooses those to run by id; default:
   * all of them.
   */
  choose?(cases: readonly Case[]): Promise<readonly string[]> | readonly string[];
  /** Is told of each case: as it ends, and of those that did not run at the end. */
  report(report: CaseReport): void;
}

/**
 * Runs the cases of test files, one after the other. @throws Error if a file declares no case, or
 * cannot be imported
 */
export async function runFiles(paths: readonly string[], options: RunOptions): Promise<void> {
  const reported = new Set<string>();
  const tell = (test: Test): void => {
    reported.add(test.id);
    options.report(reportOf(test));
  };
  const runner: VitestRunner = {
    config: {
      root: "/",
      setupFiles: [],
      name: undefined,
      passWithNoTests: true, // an empty file is refused below, with its own reason
      testNamePattern: undefined,
      allowOnly: false,
      sequence: { seed: 0, hooks: "stack", setupFiles: "list" },
      chaiConfig: undefined,
      maxConcurrency: 1,
      testTimeout: HUNG,
      hookTimeout: HUNG,
      retry: 0,
      includeTaskLocation: false,
      tags: [],
      tagsFilter: undefined,
      strictTags: false,
    },
    importFile: (path) => options.load(path),
    async onCollected(files) {
      for (const file of files) {
        if (file.result?.state === "fail") throw new Error(`${file.filepath}: ${errorsOf(file)}`);
        if (getTests(file).length === 0) throw new Error(`${file.filepath} declares no case`);
      }
      if (!options.choose) return;
      const chosen = [...(await options.choose(files.flatMap((file) => getTests(file).map(caseOf))))];
      for (const file of files) interpretTaskModes(file, undefined, undefined, chosen, undefined, false, false, false);
    },
    onAfterRunTask: tell,
  };
  const files = await startTests([...paths], runner);
  // Those that a skipped or failed suite kept from running.
  for (const test of files.flatMap((file) => getTests(file))) if (!reported.has(test.id)) tell(test);
  // What a hook behind the last case found wrong is a failure too, though every case
  // may have passed.
  for (const suite of files.flatMap(suitesOf))
    if (errorsOf(suite) && getTests(suite).every((test) => test.result?.state === "pass"))
      options.report({ ...caseOf(suite), status: "failed", reason: `afterAll: ${errorsOf(suite)}`, ms: 0 });
}

function caseOf(task: Test | Suite): Case {
  return { id: task.id, name: getTestName(task) };
}

function reportOf(test: Test): CaseReport {
  const { result } = test;
  const found = { ...caseOf(test), ms: Math.round(result?.duration ?? 0) };
  if (result?.state === "pass") return { ...found, status: "passed", reason: null };
  if (result?.state === "fail") return { ...found, status: "failed", reason: errorsOf(test) };
  for (let suite: Suite | undefined = test.suite ?? test.file; suite; suite = parentOf(suite))
    if (errorsOf(suite)) return { ...found, status: "failed", reason: `did not run: ${errorsOf(suite)}` };
  return { ...found, status: "skipped", reason: noteOf(test) ?? "declared as skipped" };
}

/** What the test gave to skip(). */
function noteOf({ result }: Test): string | undefined {
  return (result as { note?: string } | undefined)?.note;
}

function parentOf(suite: Suite): Suite | undefined {
  return suite === suite.file ? undefined : (suite.suite ?? suite.file);
}

function suitesOf(suite: Suite | File): Suite[] {
  return [suite, ...suite.tasks.flatMap((task) => (task.type === "suite" ? suitesOf(task) : []))];
}

function errorsOf(task: Test | Suite): string {
  const errors = task.result?.errors ?? [];
  return errors.map(({ name, message, diff }) => `${name}: ${message}${diff ? `\n${diff}` : ""}`).join("\n");
}
