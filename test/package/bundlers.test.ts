// The packed package in applications as bundlers make them, without settings: the same answers in a
// page as in Node.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ChatEvent, type ModelStats, open } from "../../src/index.ts";
import { application, MESSAGES, QUESTIONS, said } from "../support/application.ts";
import { noChromium, openSite } from "../support/chromium.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { ALL, leftToCi } from "../support/level.ts";
import { PATIENT } from "../support/patience.ts";

/**
 * Where `.ci/run` installs the bundlers; a project of its own, in which they find
 * the packed package.
 */
const FOLDER = inRepo("dist/bundlers");
const missing = existsSync(join(FOLDER, "node_modules/webpack"))
  ? null
  : "skipped: no bundlers are installed in dist/bundlers, as .ci/run does";
const skip = noChromium ?? leftToCi ?? missing;

const OPTIONS = { backend: "cpu", weights: "q4", context: 512 } as const;
const ASKED = ["a text", "JSON by a schema", "a call of a tool"] as const;

interface Bundler {
  readonly name: string;
  /** In the project, with the package's name as the entry. */
  readonly build: readonly string[];
  /** The page's script, from the project's folder. */
  readonly script: string;
  readonly type?: "module";
  /** Files of the application beside its script. */
  readonly files?: Readonly<Record<string, string>>;
}

const HTML = '<!doctype html><script type="module" src="./app.js"></script>';
const BUNDLERS: readonly Bundler[] = [
  {
    name: "esbuild",
    build: ["esbuild", "app.js", "--bundle", "--outfile=out/esbuild/app.js"],
    script: "out/esbuild/app.js",
  },
  {
    name: "esbuild, as modules",
    build: ["esbuild", "app.js", "--bundle", "--format=esm", "--splitting", "--minify", "--outdir=out/modules"],
    script: "out/modules/app.js",
    type: "module",
  },
  // Minified, in a page that does not tell its encoding.
  {
    name: "webpack 5",
    build: ["webpack", "--mode", "production", "--entry", "./app.js", "-o", "out/webpack"],
    script: "out/webpack/main.js",
  },
  {
    // Rollup resolves no package by itself.
    name: "rollup 4",
    build: [
      ...["rollup", "app.js", "-d", "out/rollup", "-f", "es", "-p", "node-resolve={browser:true}"],
      ...["-p", "commonjs", "-p", "json", "--silent"],
    ],
    script: "out/rollup/app.js",
    type: "module",
  },
  {
    name: "parcel 2",
    files: { "index.html": HTML },
    build: [
      ...["parcel", "build", "index.html", "--dist-dir", "out/parcel", "--public-url", "/dist/bundlers/out/parcel/"],
      ...["--cache-dir", "out/parcel-cache", "--no-source-maps", "--no-content-hash"],
    ],
    script: "out/parcel/index.html",
  },
];
const NEXT_FILES = {
  // In place of the repository's own settings, which Next would find above.
  "jsconfig.json": '{ "compilerOptions": { "jsxImportSource": "react" } }',
  "app/layout.jsx": "export default ({ children }) => <html lang='en'><body>{children}</body></html>;\n",
  "app/page.jsx": `"use client";
import { useEffect } from "react";
export default function Home() {
  useEffect(() => void import("../app.js"), []);
  return <p>hotset</p>;
}
`,
};

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(FOLDER, name)), { recursive: true });
    writeFileSync(join(FOLDER, name), text);
  }
}

function execute(folder: string, command: string, ...args: string[]): void {
  const path = `${join(FOLDER, "node_modules/.bin")}:${process.env.PATH}`;
  const env = { ...process.env, PATH: path, NODE_ENV: "", NEXT_TELEMETRY_DISABLED: "1", CI: "true" };
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: folder, encoding: "utf8", env });
  if (status !== 0)
    throw new Error(`${command} ${args.join(" ")}: ${error ?? `${stdout.slice(-3000)}\n${stderr.slice(-3000)}`}`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe.skipIf(skip)(titled("bundlers without settings, in Chromium", skip), () => {
  const wanted = new Map<string, unknown>();
  beforeAll(async () => {
    execute(inRepo(""), "npm", "pack", "--pack-destination", FOLDER);
    const { version } = JSON.parse(readFileSync(inRepo("package.json"), "utf8")) as { version: string };
    // The archive anew each time, and the bundlers as they are.
    rmSync(join(FOLDER, "node_modules/hotset"), { recursive: true, force: true });
    execute(FOLDER, "npm", "install", "--no-audit", "--no-fund", "--prefer-offline", `./hotset-${version}.tgz`);
    rmSync(join(FOLDER, "out"), { recursive: true, force: true });
    write({ "app.js": application("hotset") });
    const model = await open(inRepo("models/tales"), { ...OPTIONS, threads: 1 });
    for (const name of ASKED) {
      const events: ChatEvent[] = [];
      for await (const event of model.chat(MESSAGES, QUESTIONS[name]!)) events.push(event);
      wanted.set(name, said(events));
    }
    await model.close();
  });

  const call = <T>(page: Page, name: string, ...args: unknown[]) =>
    page.evaluate(`${name}(${args.map((arg) => JSON.stringify(arg)).join(", ")})`) as Promise<T>;

  /**
   * Asks the application in a page everything, and again in a worker, and holds its answers against
   * Node's.
   * Returns its threads.
   */
  async function ask(page: Page): Promise<number> {
    const { threads } = await call<ModelStats["backend"]>(page, "load", OPTIONS);
    for (const name of ASKED) {
      const events = await call<ChatEvent[]>(page, "chat", MESSAGES, QUESTIONS[name]);
      expect(said(events), name).toEqual(wanted.get(name));
    }
    await call(page, "close");
    const names = ["a text", "JSON by a schema"] as const;
    const questions = names.map((name) => QUESTIONS[name]);
    const answers = await call<ChatEvent[][]>(page, "inWorker", OPTIONS, MESSAGES, questions);
    for (const [i, events] of answers.entries()) expect(said(events), names[i]).toEqual(wanted.get(names[i]!));
    return threads;
  }

  it.each(BUNDLERS)("$name", async ({ name, build, script, type, files = {} }) => {
    write(files);
    execute(FOLDER, build[0]!, ...build.slice(1));
    const base = "/dist/bundlers/";
    const html = script.endsWith(".html")
      ? readFileSync(join(FOLDER, script), "utf8")
      : `<!doctype html><script ${type ? `type="${type}"` : ""} src="${base}${script}"></script>`;
    const site = await openSite(html);
    try {
      // What a bundler has to do with are the workers; one thread is the same in all of them.
      const paths = name === "esbuild" || ALL ? (["/", "/isolated"] as const) : (["/isolated"] as const);
      for (const path of paths) {
        const { page, problems } = await site.visit(path);
        const threads = await ask(page);
        expect(threads).toBe(
          path === "/"
            ? 1
            : await page.evaluate(
                "navigator.hardwareConcurrency < 8 ? navigator.hardwareConcurrency : navigator.hardwareConcurrency >> 1",
              ),
        );
        expect(problems).toEqual([]);
        await page.close();
      }
    } finally {
      await site.close();
    }
  });

  describe("Next 16", () => {
    let server: ChildProcess | null = null;
    afterAll(() => void server?.kill("SIGKILL"));

    it("builds and serves the application", async () => {
      write(NEXT_FILES);
      mkdirSync(join(FOLDER, "public/models"), { recursive: true });
      if (!existsSync(join(FOLDER, "public/models/tales")))
        symlinkSync(inRepo("models/tales"), join(FOLDER, "public/models/tales"));
      execute(FOLDER, "next", "build");
      const port = await freePort();
      const bin = join(FOLDER, "node_modules/next/dist/bin/next");
      server = spawn(process.execPath, [bin, "start", "-H", "127.0.0.1", "-p", String(port)], {
        cwd: FOLDER,
        stdio: "ignore",
      });
      const origin = `http://127.0.0.1:${port}`;
      await expect
        .poll(
          () =>
            fetch(origin).then(
              ({ ok }) => ok,
              () => false,
            ),
          PATIENT,
        )
        .toBe(true);
      const site = await openSite("");
      try {
        const { page, problems } = await site.visit("/", origin);
        expect(await ask(page)).toBe(1);
        expect(problems).toEqual([]);
      } finally {
        await site.close();
      }
    });
  });
});
