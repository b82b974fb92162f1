// `npm run bench -- page`: the benchmark as a page, served on this machine or written to a folder.

import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { exitCode, whole } from "../arguments.ts";
import { temporaryFolder } from "../leftovers.ts";
import { serve } from "../peers/server.ts";
import { buildPage } from "./build.ts";

const USAGE = "usage: npm run bench -- page [--port <number>] | --out <folder that is emptied and written>";

/** Serves until it is interrupted, or writes the folder; returns the exit code. */
export function pageCommand(root: URL, args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse, async ({ port, out }) => {
    if (out === undefined) await serveUntilSignal(root, port);
    else {
      await buildPage(root, resolve(out));
      console.log(`written to ${out}: serve it over https, or open it on localhost`);
    }
    return 0;
  });
}

function parse(args: readonly string[]) {
  const options = { port: { type: "string", default: "8080" }, out: { type: "string" } } as const;
  const { port, out } = parseArgs({ args: [...args], options }).values;
  return { port: whole("port", port, 0), out };
}

async function serveUntilSignal(root: URL, port: number): Promise<void> {
  const folder = temporaryFolder("page");
  try {
    await buildPage(root, folder.path);
    const page = readFileSync(join(folder.path, "index.html"), "utf8");
    const served = await serve({ page, folders: { assets: join(folder.path, "assets") } }, port);
    console.log(`${served.origin}/ (Ctrl-C ends it)`);
    await new Promise<void>((end) => process.once("SIGINT", end).once("SIGTERM", end));
    served.close();
  } finally {
    folder.remove();
  }
}
