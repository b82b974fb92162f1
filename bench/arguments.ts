// Options of the bench commands: whole numbers, lists of them, one of several words,
// names of results.

import { size } from "../src/cli/values.ts";
import { RequestError } from "../src/errors.ts";
import type { Precision } from "../src/index.ts";
import { type Model, open } from "../src/index.ts";

/** The options of benchmarks that open one model, for parseArgs(). */
export const MODEL_OPTIONS = {
  model: { type: "string", default: "models/tales" },
  weights: { type: "string", default: "auto" },
  backend: { type: "string", default: "cpu" },
  threads: { type: "string" },
  name: { type: "string" },
} as const;

/** Opens the model that MODEL_OPTIONS name. */
export function openModel(flags: {
  readonly model: string;
  readonly weights: string;
  readonly backend: string;
  readonly threads?: string | undefined;
}): Promise<Model> {
  return open(flags.model, {
    backend: flags.backend as "cpu" | "webgpu",
    weights: flags.weights as "auto" | Precision,
    ...(flags.threads !== undefined && { threads: Number(flags.threads) }),
  });
}

/**
 * Runs a command with what `parse` makes of its arguments: 0 with its usage for --help, 2 with it
 * where `parse` throws, 1 with the message where `run` throws, else what `run` returns.
 */
export async function exitCode<Options>(
  usage: string,
  args: readonly string[],
  parse: (args: readonly string[]) => Options,
  run: (options: Options) => number | Promise<number>,
): Promise<number> {
  if (asksForHelp(args)) {
    console.log(usage);
    return 0;
  }
  let options: Options;
  try {
    options = parse(args);
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`);
    return 2;
  }
  try {
    return await run(options);
  } catch (error) {
    console.error((error as Error).message);
    return 1;
  }
}

export function asksForHelp(args: readonly string[]): boolean {
  return args.includes("--help") || args.includes("-h");
}

/** @throws RequestError naming the option unless `text` is a whole number of at least `min` */
export function whole(option: string, text: string, min = 1): number {
  const value = /^\d{1,7}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= min))
    throw new RequestError(`--${option}: expected a whole number of at least ${min}, found "${text}"`);
  return value;
}

/** "6GiB" in bytes. @throws RequestError naming the option */
export function bytes(option: string, text: string): number {
  try {
    return size(text);
  } catch (error) {
    throw new RequestError(`--${option}: ${(error as Error).message}`);
  }
}

/** "0,4096" as numbers; an empty text has none. @throws RequestError as whole() */
export function wholes(option: string, text: string, min = 1): number[] {
  return text === "" ? [] : text.split(",").map((one) => whole(option, one, min));
}

/** @throws RequestError unless `found` is one of `choices` */
export function oneOf<T extends string>(option: string, found: string, choices: readonly T[]): T {
  const choice = choices.find((one) => one === found);
  if (choice === undefined)
    throw new RequestError(`--${option}: expected one of ${choices.join(", ")}, found "${found}"`);
  return choice;
}

/** The name of a result file, without its folder and ending. @throws RequestError */
export function resultName(name: string): string {
  if (!/^[\w.-]+$/.test(name))
    throw new RequestError(`--name: expected letters, digits, ".", "_" and "-", found "${name}"`);
  return name;
}
