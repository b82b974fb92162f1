// `hotset pull`, `hotset list` and `hotset rm`: models in the hub's cache.

import type { Command } from "commander";
import { cachedModels, prepareRemoval } from "../index.ts";
import { interruptible } from "./interrupt.ts";
import { download, mustAsk } from "./model_place.ts";
import { formatBytes, print } from "./output.ts";
import { integer } from "./values.ts";

const NAME =
  "owner/name on the model hub, owner/name:Q4_K_M for a GGUF file of it, hf:owner/name@revision/file.gguf, or a short name";

interface PullFlags {
  readonly verify?: true;
  readonly connections?: number;
  readonly quiet?: true;
}

/** Adds the commands to the program. */
export function addModels(program: Command): void {
  program
    .command("pull")
    .description("download a model from the hub; a pull that was stopped goes on where it was")
    .argument("<name>", NAME)
    .option("--verify", "also compare files that are there already with the hub's checksums")
    .option("--connections <count>", "connections for a large file; default: 8", integer(1, 64))
    .option("--quiet", "no progress")
    .action((name: string, flags: PullFlags) =>
      interruptible(async (signal) => {
        await print(`${await download(name, { ...flags, yes: true }, signal)}\n`, signal);
      }),
    );
  program
    .command("list")
    .alias("ls")
    .description("list the downloaded models")
    .option("--json", "print one JSON array")
    .action((flags: { json?: true }) =>
      interruptible(async (signal) => {
        const models = await cachedModels();
        const rows = models.map(({ name, bytes, refs, commit, modified }) => [
          name,
          formatBytes(bytes),
          refs[0] ?? commit.slice(0, 7),
          modified.toISOString().slice(0, 10),
        ]);
        const text = flags.json ? `${JSON.stringify(models, null, 2)}\n` : table([HEADER, ...rows]);
        await print(text, signal);
      }),
    );
  program
    .command("rm")
    .description("remove a downloaded model; files that others share stay")
    .argument("<name>", NAME)
    .option("--yes", "do not ask")
    .action((name: string, flags: { yes?: true }) =>
      interruptible(async (signal) => {
        const { name: found, bytes, remove } = await prepareRemoval(name);
        if (!flags.yes && !(await mustAsk(`Remove ${found} (${formatBytes(bytes)})?`, signal))) return;
        await print(`removed ${found}: ${formatBytes(await remove())} are free again\n`, signal);
      }),
    );
}

const HEADER = ["NAME", "SIZE", "REVISION", "MODIFIED"];

function table(rows: readonly (readonly string[])[]): string {
  const widths = HEADER.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd(widths[i]!))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}
