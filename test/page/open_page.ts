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

export interface PageHost {
  readonly server: RunningServer;
  readonly browser: Browser;
  /** Opens the page as a new visitor, of whom nothing is kept. */
  visit(options?: Parameters<Browser["newContext"]>[0]): Promise<Visit>;
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
      return { page, problems };
    },
    async close() {
      await browser.close();
      await server.close();
    },
  };
}
