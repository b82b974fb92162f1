// Jinja2's tests: the names after `is`.

import { type Run, TemplateFault } from "./bounds.ts";
import { hasCase } from "./characters.ts";
import { numberOf } from "./numbers.ts";
import { binary, compares, equal, lengthOf, same, tryIterate } from "./operators.ts";
import { str } from "./show.ts";
import { type Applied, applied } from "./signature.ts";
import { isSafe, isStr, plain } from "./text.ts";
import { Dict, Float, isWhole, keyOf, Special, Undefined, type Value } from "./values.ts";

const tests = new Map<string, Applied>();

type Given = readonly (Value | undefined)[];

function define(names: string, parameters: string, call: (run: Run, self: Value, given: Given) => boolean): void {
  for (const name of names.split(" ")) tests.set(name, applied(name, parameters, call));
}

/** Whether a test of this name exists. */
export function isTest(name: string): boolean {
  return tests.has(name);
}

/** @throws TemplateFault if there is no such test */
export function testNamed(name: string): Applied {
  const test = tests.get(name);
  if (test === undefined) throw new TemplateFault(`no test named '${name}'`);
  return test;
}

/** Defines the test `filter`; a function breaks the import circle, since filters use tests. */
export function defineFilterTest(isFilter: (name: string) => boolean): void {
  define("filter", "", (_, self) => isFilter(String(keyOf(self))));
}

define("test", "", (_, self) => isTest(String(keyOf(self))));
define("odd", "", (run, self) => equal(run, binary(run, "%", self, 2), 1));
define("even", "", (run, self) => equal(run, binary(run, "%", self, 2), 0));
define("divisibleby", "num", (run, self, [by]) => equal(run, binary(run, "%", self, by!), 0));
define("defined", "", (_, self) => !(self instanceof Undefined));
define("undefined", "", (_, self) => self instanceof Undefined);
define("none", "", (_, self) => self === null);
define("boolean", "", (_, self) => typeof self === "boolean");
define("true", "", (_, self) => self === true);
define("false", "", (_, self) => self === false);
define("integer", "", (_, self) => isWhole(self));
define("float", "", (_, self) => self instanceof Float);
define("number", "", (_, self) => numberOf(self) !== undefined);
define("string", "", (_, self) => isStr(self));
define("mapping", "", (_, self) => self instanceof Dict);
define(
  "sequence",
  "",
  (_, self) => self instanceof Dict || (lengthOf(self) !== undefined && !("kind" in Object(self))),
);
define("iterable", "", (run, self) => tryIterate(run, self) !== undefined);
define("callable", "/", (_, self) => self instanceof Undefined || (self instanceof Special && self.call !== undefined));
define("lower", "", (run, self) => hasCase(plain(str(run, self)), "lower"));
define("upper", "", (run, self) => hasCase(plain(str(run, self)), "upper"));
define("escaped", "", (_, self) => isSafe(self));
define("sameas", "other", (_, self, [other]) => same(self, other!));
define("in", "seq", (run, self, [seq]) => compares(run, "in", self, seq!));
for (const [names, operator] of [
  ["== eq equalto", "=="],
  ["!= ne", "!="],
  ["> gt greaterthan", ">"],
  [">= ge", ">="],
  ["< lt lessthan", "<"],
  ["<= le", "<="],
] as const) {
  define(names, "/ other", (run, self, [other]) => compares(run, operator, self, other!));
}
