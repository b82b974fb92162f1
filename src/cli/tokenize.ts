// `hotset tokenize`: text to token ids and back with a folder's tokenizer. Reads no weights.

import type { Command } from "commander";
import { loadTokenizer } from "../index.ts";
import { interruptible } from "./interrupt.ts";
import { print } from "./output.ts";
import { promptFromStdin } from "./prompt.ts";
import { integer } from "./values.ts";

interface TokenizeFlags {
  readonly ids?: true;
  readonly decode?: readonly number[];
  /** False with --no-bos; commander's default is true. */
  readonly bos: boolean;
  readonly special?: true;
  readonly json?: true;
  readonly tokenizer?: string;
}

/** The output of --json. */
export interface TokenizeReport {
  readonly ids: readonly number[];
  /** Each id's piece as the tokenizer's file spells it; null for an unused id. */
  readonly pieces: readonly (string | null)[];
  /** With --decode: the text of the ids. */
  readonly text?: string;
}

/** Adds the command to the program. */
export function addTokenize(program: Command): void {
  program
    .command("tokenize")
    .description("show the tokens of a text, or the text of tokens")
    .argument(
      "<folder>",
      "a folder with tokenizer files, a GGUF file, a tokenizer file, or the name of a downloaded model",
    )
    .argument("[text]", "the text; stdin if omitted")
    .option("--ids", "print ids only, on one line")
    .option("--decode <ids...>", "the other way: token ids to text", idList)
    .option("--no-bos", "do not put BOS in front")
    .option("--special", 'read control tokens such as "</s>" in the text, show them in decoded text')
    .option("--tokenizer <path>", "take this one's tokenizer instead of the folder's")
    .option("--json", "print one JSON object: ids, pieces, and text with --decode")
    .action(async (folder: string, text: string | undefined, flags: TokenizeFlags, command: Command) => {
      if (text !== undefined && flags.decode) command.error("--decode takes ids only: leave out the text");
      await interruptible(async (signal) => {
        const tokenizer = await loadTokenizer(flags.tokenizer ?? folder);
        const special = flags.special ?? false;
        let report: TokenizeReport;
        if (flags.decode) {
          const ids = flags.decode;
          const text = tokenizer.decode(ids, { skipSpecialTokens: !special });
          report = { ids, pieces: ids.map((id) => tokenizer.idToPiece(id)), text };
        } else {
          const input = text ?? (await promptFromStdin(signal, "pass one after the folder"));
          const ids = tokenizer.encode(input, { specialTokens: special, ...(flags.bos ? {} : { addBos: false }) });
          report = { ids, pieces: ids.map((id) => tokenizer.idToPiece(id)) };
        }
        await print(`${format(report, flags)}\n`, signal);
      });
    });
}

function format(report: TokenizeReport, flags: TokenizeFlags): string {
  if (flags.json) return JSON.stringify(report);
  if (flags.ids) return report.ids.join(" ");
  if (report.text !== undefined) return report.text;
  // As JSON, because a piece may contain line ends and control characters.
  return report.ids.map((id, i) => `${id}\t${JSON.stringify(report.pieces[i])}`).join("\n");
}

const id = integer(0, 2 ** 31 - 1);

/** Ids separated by commas or spaces, in one or several arguments. */
function idList(text: string, before: readonly number[] = []): readonly number[] {
  return [
    ...before,
    ...text
      .split(/[\s,]+/)
      .filter((part) => part !== "")
      .map(id),
  ];
}
