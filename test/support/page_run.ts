// Runs test files in a page of headless Chromium for a test in Node, and reports
// each case's result.

import { EventEmitter, once } from "node:events";
import { importsOf, openSite, pageOf } from "./chromium.ts";
import { HUNG } from "./patience.ts";
import type { Case, CaseReport } from "./runner.ts";
import { RUNNER_PACKAGES } from "./runner_packages.ts";

const IMPORTS = {
  ...importsOf(RUNNER_PACKAGES),
  vitest: "/dist/test/support/runner.js",
  "/dist/test/support/adapters.js": "/dist/test/support/page_adapters.js",
};
/** A string: vitest would rewrite an import here. */
const PAGE = pageOf(
  IMPORTS,
  `
  import { adapters } from "/dist/test/support/adapters.js";
  import { run } from "/dist/test/support/page_host.js";
  Object.assign(globalThis, { run, adapter: adapters[0]?.name ?? null, ready: true });
`,
);

/** A page that runs test files. */
export interface PageRun {
  /** Name and features of its adapter. */
  readonly adapter: string | null;
  /**
   * Waits for a case and returns its result. @throws Error if the page ends or hangs before that
   */
  result(id: string): Promise<CaseReport>;
  /** Resolves at the end of the run, with errors in the page outside of cases. */
  end(): Promise<readonly string[]>;
  close(): Promise<void>;
}

/**
 * The cases of compiled test files, by their paths in the repository, and the adapter that they
 * would run on.
 */
export async function casesInPage(
  files: readonly string[],
): Promise<{ cases: readonly Case[]; adapter: string | null }> {
  let cases: readonly Case[] = [];
  const run = await startPage(files, (found) => {
    cases = found;
    return [];
  });
  const problems = await run.end();
  await run.close();
  if (cases.length === 0) throw new Error(`no case was found in ${files.join(", ")}: ${problems.join("; ")}`);
  return { cases, adapter: run.adapter };
}

/** Runs the cases of the files that `choose` returns. */
export async function startPage(
  files: readonly string[],
  choose: (cases: readonly Case[]) => readonly string[],
): Promise<PageRun> {
  const site = await openSite(PAGE);
  const { page, problems } = await site.visit("/");
  const reports = new Map<string, CaseReport>();
  const news = new EventEmitter().setMaxListeners(0);
  let declared: ReadonlySet<string> = new Set();
  let stopped: string | null = null;
  const stop = (why: string): void => {
    stopped ??= why;
    news.emit("news");
  };
  const fail = (why: string): void => {
    if (stopped === null) problems.push(why);
    stop(why);
  };
  const silence = setTimeout(() => fail(`the page has reported no case for ${HUNG / 1000} s`), HUNG);
  await page.exposeFunction("chooseCases", (cases: readonly Case[]) => {
    declared = new Set(cases.map(({ id }) => id));
    return choose(cases);
  });
  await page.exposeFunction("reportCase", (report: CaseReport) => {
    reports.set(report.id, report);
    silence.refresh();
    news.emit("news");
  });
  page.on("crash", () => fail("the page crashed"));
  page.on("close", () => fail("the page was closed"));
  const paths = JSON.stringify(files.map((file) => `/${file}`));
  page.evaluate(`run(${paths})`).then(
    () => stop("the page's run is over"),
    (error: unknown) => fail(String(error)),
  );
  return {
    adapter: await page.evaluate<string | null>("adapter"),
    async result(id) {
      for (;;) {
        const report = reports.get(id);
        if (report) return report;
        if (stopped !== null) throw new Error(`did not run: ${stopped}`);
        await once(news, "news");
      }
    },
    async end() {
      while (stopped === null) await once(news, "news");
      const others = [...reports.values()].filter(({ id }) => !declared.has(id));
      return [...problems, ...others.map(({ name, reason }) => `${name}: ${reason}`)];
    },
    async close() {
      clearTimeout(silence);
      await site.close();
    },
  };
}
