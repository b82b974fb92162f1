// `hotset page`: writes the page that computes itself to a folder, for any host of static files.

import type { Command } from "commander";
import { RequestError } from "../errors.ts";
import { HUB_HOSTS, writePage } from "./page_files.ts";

interface PageFlags {
  readonly hub?: readonly string[];
}

/** Adds the command to the program. */
export function addPage(program: Command): void {
  program
    .command("page")
    .description("write a page that runs models in the browser to a folder, for any host of static files")
    .argument("<out>", "the folder; it must be empty, or hold an earlier page, which is replaced")
    .option(
      "--hub <address...>",
      "a mirror of the model hub, whose models can be downloaded in place of Hugging Face's; then hosts that it redirects to",
    )
    .action(async (out: string, { hub }: PageFlags) => {
      const { files, bytes } = await writePage(out, hub === undefined ? null : hub.map(originOf));
      process.stderr.write(
        `${out}: ${files} files, ${(bytes / 1e6).toFixed(1)} MB. Serve the folder with any host of static files, over https or from localhost.\n`,
      );
      const hosts = (hub ?? HUB_HOSTS).join(", ");
      process.stderr.write(`It asks no other host, but where a person names a model of the hub: ${hosts}\n`);
    });
}

/** @throws RequestError */
function originOf(address: string): string {
  const { protocol = "", origin = "" } = URL.canParse(address) ? new URL(address) : {};
  if (!/^https?:$/.test(protocol))
    throw new RequestError(
      `--hub: expected an address such as https://huggingface.co, found ${JSON.stringify(address)}`,
    );
  return origin;
}
