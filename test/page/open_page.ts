// The page in headless Chromium, from a server of this process.

import { readFileSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";
import type { ChatModel } from "../../src/engine/chat_api.ts";
import { type ListenOptions, type RunningServer, startServer } from "../../src/server/node_serve.ts";
import type { ServedModels } from "../../src/server/served.ts";
import { LAUNCH, patiently } from "../support/chromium.ts";
import { inRepo } from "../support/fixtures.ts";

export interface Visit {
  readonly page: Page;
  /** Uncaught errors, errors on the console, and requests to other hosts. */
  readonly problems: string[];
}

/** What axe finds that is serious or critical, a line for each. */
export async function axeFinds(page: Page): Promise<string[]> {
  await page.evaluate(readFileSync(inRepo("node_modules/axe-core/axe.min.js"), "utf8"));
  const { violations } = (await page.evaluate("axe.run()")) as {
    readonly violations: readonly {
      readonly id: string;
      readonly impact: string;
      readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
    }[];
  };
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html}: ${failureSummary}`));
}

/** Waits until a page knows its model: what is sent before that goes nowhere. */
export async function modelThere(page: Page): Promise<void> {
  await page.getByRole("combobox", { name: "Model", exact: true }).waitFor();
}

export interface PageHost {
  readonly server: RunningServer;
  readonly browser: Browser;
  /**
   * Opens the page as a new visitor, of whom nothing is kept, and waits for its model where no key
   * is wanted.
   */
  visit(options?: Parameters<Browser["newContext"]>[0]): Promise<Visit>;
  /** Closes what was opened: a test that failed leaves no answer running to the next one. */
  leave(): Promise<void>;
  close(): Promise<void>;
}

export async function hostPage(models: ChatModel | ServedModels, options: ListenOptions = {}): Promise<PageHost> {
  const server = await startServer(models, { port: 0, ...options });
  const browser = await chromium.launch({ ...LAUNCH, args: ["--no-sandbox", "--no-first-run"] });
  return {
    server,
    browser,
    async visit(more = {}) {
      const context = patiently(await browser.newContext(more));
      const page = await context.newPage();
      const problems: string[] = [];
      page.on("pageerror", (error) => problems.push(String(error)));
      page.on("console", (message) => {
        if (message.type() === "error") problems.push(message.text());
      });
      page.on("request", (request) => {
        if (!request.url().startsWith(server.url) && !/^(data|blob):/.test(request.url())) problems.push(request.url());
      });
      await page.goto(`${server.url}/`);
      if (options.apiKey === undefined) await modelThere(page);
      return { page, problems };
    },
    async leave() {
      await Promise.all(browser.contexts().map((context) => context.close()));
    },
    async close() {
      await browser.close();
      await server.close();
    },
  };
}
