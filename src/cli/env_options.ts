// A command whose options may come from the environment (HOTSET_PORT is --port) or from a file
// (--config), for containers and service managers.

import { Command, InvalidArgumentError, type Option } from "commander";
import { readTextFile } from "./text_file.ts";

/**
 * Variables that must not be empty, because that would disable the key check. Other empty variables
 * count as unset.
 */
const NEVER_EMPTY: ReadonlySet<string> = new Set(["HOTSET_API_KEY", "HOTSET_API_KEY_FILE"]);
const PREFIX = "HOTSET_";
/** Values of a variable whose option takes none. */
const TRUE = /^\s*(?:1|true|yes|on)\s*$/i;
const FALSE = /^\s*(?:0|false|no|off)\s*$/i;
/** What a file cannot set: itself, and the other name of an option. */
const NOT_IN_FILES: readonly string[] = ["--config", "--help", "--rope-freq-base"];
const MOST_BYTES = 1_000_000;
/** A name with more letters changed is another one. */
const MOST_CHANGES = 2;

/** The command line takes precedence over the environment, and that over the file. */
export class EnvCommand extends Command {
  override addOption(option: Option): this {
    const name = variableOf(option);
    const value = process.env[name];
    const unset = value?.trim() === "" && !NEVER_EMPTY.has(name);
    // Kubernetes sets this variable to an address in pods beside a service named "hotset".
    const address = name === "HOTSET_PORT" && value !== undefined && /^[a-z]+:\/\//.test(value);
    if (value === undefined || unset || address) return super.addOption(option);
    const isFlag = !option.required && !option.optional;
    if (!isFlag || TRUE.test(value)) return super.addOption(option.env(name));
    if (!FALSE.test(value)) {
      // commander would take any text for true
      const wrong = `option '${option.flags}' value '${value}' from env '${name}' is invalid. Expected true or false.`;
      return super.addOption(option.env(name)).on(`optionEnv:${option.name()}`, () => this.error(`error: ${wrong}`));
    }
    super.addOption(option);
    const attribute = option.attributeName(); // as it is, whatever the file says
    return this.setOptionValueWithSource(attribute, this.getOptionValue(attribute), "env");
  }

  /**
   * Sets the options that a JSON file has and that are given nowhere else.
   * @throws RequestError if the file cannot be read; for a wrong content the command ends with the
   * exit code of wrong usage
   */
  async readConfig(path: string): Promise<void> {
    const what = `--config ${path}`;
    const fail = (why: string): never => this.error(`error: ${what}: ${why}`);
    const given = objectOf(await readTextFile(path, what, MOST_BYTES), fail);
    const known = this.options.filter(({ long }) => !NOT_IN_FILES.includes(long ?? ""));
    const names = known.map((option) => option.name());
    for (const [key, value] of Object.entries(given)) {
      const option = known[names.indexOf(key)] ?? fail(`there is no option ${JSON.stringify(key)}${meant(key, names)}`);
      const set = parsedValue(option, value, (why) => fail(`${key}: ${why}`));
      const name = option.attributeName();
      const source = this.getOptionValueSource(name);
      if (set === undefined || source === "cli" || source === "env") continue;
      this.setOptionValueWithSource(name, option.negate ? false : set, "config");
    }
  }

  /** Variables that look like a misspelt one, with the name that they may stand for. */
  misspelt(environment: NodeJS.ProcessEnv = process.env): { readonly found: string; readonly meant: string }[] {
    const known = this.options.map(variableOf);
    return Object.keys(environment)
      .filter((name) => name.startsWith(PREFIX) && !known.includes(name))
      .flatMap((found) => {
        const name = nearest(found, known);
        return name === null ? [] : [{ found, meant: name }];
      });
  }
}

function variableOf(option: Option): string {
  return PREFIX + option.name().replaceAll("-", "_").toUpperCase();
}

function objectOf(text: string, fail: (why: string) => never): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    return fail(`expected JSON: ${(error as Error).message}`);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return fail('expected an object of options, such as {"port": 8080}');
}

/** The parsed value of an option; undefined where the file leaves it as it is. */
function parsedValue(option: Option, value: unknown, fail: (why: string) => never): unknown {
  const wantsText = option.required || option.optional;
  if (value === null || (value === false && !wantsText)) return undefined;
  if (!wantsText) return value === true ? true : fail("expected true or false");
  const parse = option.parseArg;
  let result: unknown;
  // An option that may be given several times has an array; each value is added to those before.
  for (const one of Array.isArray(value) ? value : [value]) {
    if (typeof one === "boolean") return fail(`expected a text or a number, found ${one}`);
    const text = typeof one === "object" ? JSON.stringify(one) : String(one);
    try {
      result = parse ? parse(text, result) : text;
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      return fail(error.message);
    }
  }
  if (Array.isArray(value) && !Array.isArray(result)) return fail("expected one value, found an array");
  return result;
}

function meant(key: string, names: readonly string[]): string {
  const name = nearest(key, names);
  return name === null ? "" : `; did you mean ${JSON.stringify(name)}?`;
}

/** The name that is most like `text`, without regard to case and separators; null if none is. */
function nearest(text: string, names: readonly string[]): string | null {
  const bare = (name: string): string => name.toLowerCase().replaceAll(/[-_ ]/g, "");
  const wanted = bare(text);
  const scored = names.map((name) => ({ name, changes: changesBetween(wanted, bare(name)) }));
  const best = scored.reduce((a, b) => (b.changes < a.changes ? b : a), {
    name: "",
    changes: Number.POSITIVE_INFINITY,
  });
  return best.changes <= Math.min(MOST_CHANGES, wanted.length / 2) ? best.name : null;
}

/** Letters to insert, remove or replace (Levenshtein). */
function changesBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
