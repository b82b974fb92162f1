// Jinja2's global functions and those that transformers adds.

import { strftime } from "../strftime.ts";
import { Refusal, type Run, TemplateFault } from "./bounds.ts";
import { makeDict } from "./methods.ts";
import { described, indexOf } from "./operators.ts";
import { str } from "./show.ts";
import { plain, type Str, untrustedText } from "./text.ts";
import { textArgument } from "./text_methods.ts";
import { type Dict, Fn, type Keywords, Namespace, orElse, Range, Special, Tuple, type Value } from "./values.ts";

/** Maximum length of a range(), as in Jinja2's sandbox. */
const MAX_RANGE = 100_000;

function range(run: Run, args: readonly Value[]): Value {
  const numbers = args.map((arg) => {
    const number = indexOf(arg);
    if (number === undefined) throw new TemplateFault(`range: expected whole numbers, found ${described(arg)}`);
    return number;
  });
  const [first, second, step = 1] = numbers;
  if (first === undefined || numbers.length > 3) throw new TemplateFault("range: expected one to three numbers");
  if (step === 0) throw new TemplateFault("range: expected a step other than 0");
  const made = second === undefined ? new Range(0, first, 1) : new Range(first, second, step);
  if (made.length > MAX_RANGE) {
    throw new TemplateFault(`range: expected at most ${MAX_RANGE} numbers, found ${made.length}`);
  }
  run.spend(1);
  return made;
}

function noKeywords(name: string, keywords: Keywords): void {
  for (const key of keywords.keys()) throw new TemplateFault(`${name}: has no argument '${key}'`);
}

function dict(run: Run, args: readonly Value[], keywords: Keywords): Dict {
  return makeDict(run, args, keywords);
}

/** cycler(): returns its items in turn, over and over. */
class Cycler extends Special {
  readonly type = "jinja2.utils.Cycler";
  readonly #items: readonly Value[];
  #at = 0;
  constructor(items: readonly Value[]) {
    super();
    this.#items = items;
  }
  shown(): string {
    return "<jinja2.utils.Cycler object>";
  }
  override attribute(_run: Run, name: string): Value | undefined {
    if (name === "current") return this.#items[this.#at]!;
    if (name === "items") return new Tuple(this.#items);
    if (name === "pos") return this.#at;
    if (name === "reset") {
      return new Fn(name, () => {
        this.#at = 0;
        return null;
      });
    }
    if (name !== "next") return undefined;
    return new Fn(name, () => {
      const now = this.#items[this.#at]!;
      this.#at = (this.#at + 1) % this.#items.length;
      return now;
    });
  }
}

/** joiner(): an empty text on the first call, then the separator. */
class Joiner extends Special {
  readonly type = "jinja2.utils.Joiner";
  #used = false;
  readonly #separator: Value;
  constructor(separator: Value) {
    super();
    this.#separator = separator;
  }
  override readonly call = (): Value => {
    if (this.#used) return this.#separator;
    this.#used = true;
    return "";
  };
  shown(): string {
    return "<jinja2.utils.Joiner object>";
  }
}

const FUNCTIONS = new Map<string, (run: Run, args: readonly Value[], keywords: Keywords) => Value>([
  [
    "range",
    (run, args, keywords) => {
      noKeywords("range", keywords);
      return range(run, args);
    },
  ],
  ["dict", dict],
  ["namespace", (run, args, keywords) => new Namespace(dict(run, args, keywords))],
  [
    "cycler",
    (_, args, keywords) => {
      noKeywords("cycler", keywords);
      if (args.length === 0) throw new TemplateFault("cycler: expected items");
      return new Cycler(args);
    },
  ],
  ["joiner", (_, args, keywords) => new Joiner(orElse(args.length > 0 ? args[0] : keywords.get("sep"), () => ", "))],
  [
    "lipsum",
    () => {
      throw new TemplateFault("lipsum: not supported: random text would make prompts differ");
    },
  ],
  [
    "raise_exception",
    (run, args, keywords) => {
      throw new Refusal(plain(str(run, argument("raise_exception", "message", args, keywords))));
    },
  ],
  [
    "strftime_now",
    (run, args, keywords) => {
      const format: Str = textArgument(argument("strftime_now", "format", args, keywords), "strftime_now");
      run.room(plain(format).length * 40);
      const text = strftime(new Date(), plain(format));
      return typeof format === "string" ? text : untrustedText(text);
    },
  ],
]);

function argument(name: string, key: string, args: readonly Value[], keywords: Keywords): Value {
  const value = args.length > 0 ? args[0] : keywords.get(key);
  if (value === undefined) throw new TemplateFault(`${name}: argument '${key}' is missing`);
  return value;
}

export const GLOBALS: ReadonlyMap<string, Value> = new Map(
  Array.from(FUNCTIONS, ([name, call]): [string, Value] => [name, new Fn(name, call)]),
);
