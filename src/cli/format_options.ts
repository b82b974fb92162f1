// The options that constrain a text to a format: a JSON schema, any JSON object, a
// pattern, a grammar.

import { type Command, Option } from "commander";
import { formatGrammar } from "../engine/chat_constraint.ts";
import { HotsetError, RequestError } from "../errors.ts";
import type { Constraint, Model, ResponseFormat } from "../index.ts";
import { readTextFile } from "./text_file.ts";

export interface FormatFlags {
  readonly format?: "text" | "json";
  readonly jsonSchema?: string;
  readonly regex?: string;
  readonly grammar?: string;
}

/** More than any schema or grammar needs. */
const MAX_BYTES = 16 * 2 ** 20;

export function addFormatOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--format <name>", "json: any JSON object")
        .choices(["text", "json"])
        .conflicts(["jsonSchema", "regex", "grammar"]),
    )
    .addOption(
      new Option("--json-schema <file>", "JSON that is valid by the schema in the file").conflicts([
        "regex",
        "grammar",
      ]),
    )
    .addOption(new Option("--regex <pattern>", "a text that the pattern matches as a whole").conflicts("grammar"))
    .addOption(new Option("--grammar <file>", "a text of the EBNF grammar in the file, from its rule `root`"));
}

/** A format, and the option that requested it. */
export interface RequestedFormat {
  readonly format: ResponseFormat;
  /** For messages: "--json-schema person.json". */
  readonly option: string;
}

/**
 * The requested format, or null. Reads the options' files.
 * @throws RequestError that names the option
 */
export async function requestedFormat(flags: FormatFlags): Promise<RequestedFormat | null> {
  const { jsonSchema, regex, grammar } = flags;
  if (jsonSchema !== undefined) {
    const option = `--json-schema ${jsonSchema}`;
    const text = await readTextFile(jsonSchema, option, MAX_BYTES);
    let schema: unknown;
    try {
      schema = JSON.parse(text);
    } catch (error) {
      throw new RequestError(`${option}: expected a JSON schema, found invalid JSON: ${(error as Error).message}`);
    }
    return { format: { type: "json_schema", schema, strict: true }, option };
  }
  if (grammar !== undefined) {
    const option = `--grammar ${grammar}`;
    return { format: { type: "ebnf", grammar: await readTextFile(grammar, option, MAX_BYTES) }, option };
  }
  if (regex !== undefined) return { format: { type: "regex", pattern: regex }, option: "--regex" };
  return flags.format === "json" ? { format: { type: "json" }, option: "--format json" } : null;
}

/**
 * The constraint of one text; null without a format. The caller closes it.
 * @throws RequestError that names the option, for a format that cannot be enforced
 */
export async function constraintFor(model: Model, asked: RequestedFormat | null): Promise<Constraint | null> {
  if (!asked) return null;
  try {
    return (await (await formatGrammar(model.grammars, asked.format))?.matcher()) ?? null;
  } catch (error) {
    if (!(error instanceof HotsetError)) throw error;
    throw new RequestError(`${asked.option}: ${error.message}`);
  }
}
