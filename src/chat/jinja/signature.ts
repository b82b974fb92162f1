// Binds positional and keyword arguments to parameters, for built-in filters, tests and methods.

import { type Run, TemplateFault } from "./bounds.ts";
import type { Keywords, Value } from "./values.ts";

/** A filter, test or method: `self` is the value it is applied to. */
export type Applied = (run: Run, self: Value, args: readonly Value[], keywords: Keywords) => Value;

type Given = readonly (Value | undefined)[];

/**
 * Defines a function with parameters "a b? c?", where ? marks optional ones. A leading "/" makes
 * them positional only.
 */
export function applied(
  name: string,
  parameters: string,
  call: (run: Run, self: Value, given: Given) => Value,
): Applied {
  const byName = !parameters.startsWith("/");
  const words = parameters.replace("/", "").split(" ").filter(Boolean);
  const names = words.map((word) => word.replace("?", ""));
  const required = words.filter((word) => !word.endsWith("?")).length;
  return (run, self, args, keywords) => {
    if (args.length > names.length) {
      throw new TemplateFault(`${name}: expected at most ${names.length} arguments, found ${args.length}`);
    }
    const given: (Value | undefined)[] = [...args];
    for (const [key, value] of keywords) {
      const at = byName ? names.indexOf(key) : -1;
      if (at < 0) throw new TemplateFault(`${name}: has no argument '${key}'`);
      if (given[at] !== undefined) throw new TemplateFault(`${name}: argument '${key}' is given twice`);
      given[at] = value;
    }
    for (let i = 0; i < required; i++) {
      if (given[i] === undefined) throw new TemplateFault(`${name}: argument '${names[i]}' is missing`);
    }
    return call(run, self, given);
  };
}
