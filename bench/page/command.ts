// `npm run bench -- page`: the benchmark as a page, served on this machine or written to a folder.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { whole } from "../arguments.ts";
import { serve } from "../peers/server.ts";
import { buildPage } from "./build.ts";

const USAGE = "usage: npm run bench -- page [--port <number>] | --out <folder that is emptied and written>";

/** Serves until it is interrupted, or writes the folder; returns the exit code. */
export async function pageCommand(root: URL, args: readonly string[]): Promise<number> {
  let port: number;
  let out: string | undefined;
  try {
    const options = { port: { type: "string", default: "8080" }, out: { type: "string" } } as const;
    const { values } = parseArgs({ args: [...args], options });
    port = whole("port", values.port, 0);
    out = values.out;
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    return 2;
  }
  if (out !== undefined) {
    await buildPage(root, resolve(out));
    console.log(`written to ${out}: serve it over https, or open it on localhost`);
    return 0;
  }
  const folder = mkdtempSync(join(tmpdir(), "hotset-page-"));
  try {
    await buildPage(root, folder);
    const page = readFileSync(join(folder, "index.html"), "utf8");
    const served = await serve({ page, folders: { assets: join(folder, "assets") } }, port);
    console.log(`${served.origin}/ (Ctrl-C ends it)`);
    await new Promise<void>((end) => process.once("SIGINT", end).once("SIGTERM", end));
    served.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
  return 0;
}
