// Compiles a template's expressions to functions that evaluate them.

import { callMethod, callValue, getAttribute, getItem } from "./access.ts";
import { type Run, TemplateFault } from "./bounds.ts";
import type { Arguments, Expression, Filter } from "./nodes.ts";
import { binary, compares, described, iterate, slice, truth, unary } from "./operators.ts";
import { type Locals, reference } from "./scope.ts";
import { filterNamed, isFilter } from "./sequence_filters.ts";
import { joined, str } from "./show.ts";
import type { Applied } from "./signature.ts";
import type { Slot, Symbols } from "./symbols.ts";
import { isTest, testNamed } from "./tests.ts";
import { isStr, plain } from "./text.ts";
import { Dict, type Keywords, NO_KEYWORDS, orElse, Tuple, Undefined, type Value } from "./values.ts";

export type Evaluate = (run: Run, at: Locals) => Value;

/** The context of an expression or statement. */
export interface Frame {
  readonly symbols: Symbols;
  /** Whether it is at the top level, outside of loops, macros and other scopes. */
  readonly top: boolean;
  /**
   * Whether it may never be reached (Jinja2's soft frame): an unknown filter then fails
   * only when evaluated.
   */
  readonly soft: boolean;
  readonly inLoop: boolean;
  /** The slot of the text that a filter block's filter is applied to. */
  readonly captured: Slot | null;
}

export function expression(node: Expression, frame: Frame): Evaluate {
  switch (node.type) {
    case "Const": {
      const { value } = node;
      return () => value;
    }
    case "Name": {
      const { get } = reference(frame.symbols.func, frame.symbols.find(node.name)!);
      const { name } = node;
      return (run, at) => {
        run.spend(1);
        return orElse(get(at), () => new Undefined(`'${name}' is undefined`));
      };
    }
    case "List": {
      const items = node.items.map((item) => expression(item, frame));
      return (run, at) => evaluated(run, at, items);
    }
    case "Tuple": {
      const items = node.items.map((item) => expression(item, frame));
      return (run, at) => new Tuple(evaluated(run, at, items));
    }
    case "Dict":
      return dict(node.keys, node.values, frame);
    case "Binary":
      return binaryOperator(node.operator, expression(node.left, frame), expression(node.right, frame));
    case "Unary": {
      const [operand, { operator }] = [expression(node.operand, frame), node];
      if (operator === "not") return (run, at) => !truth(operand(run, at));
      return (run, at) => unary(run, operator, operand(run, at));
    }
    case "Concat": {
      const parts = node.parts.map((part) => expression(part, frame));
      return (run, at) =>
        joined(
          run,
          parts.map((part) => str(run, part(run, at))),
        );
    }
    case "Compare":
      return comparison(
        expression(node.first, frame),
        node.operators,
        node.others.map((other) => expression(other, frame)),
      );
    case "Condition": {
      const soft = { ...frame, soft: true };
      const [test, value] = [expression(node.test, soft), expression(node.value, soft)];
      const { line } = node;
      const otherwise: Evaluate =
        node.otherwise === null
          ? () => new Undefined(`the 'if' without 'else' in line ${line} was false`)
          : expression(node.otherwise, soft);
      return (run, at) => (truth(test(run, at)) ? value(run, at) : otherwise(run, at));
    }
    case "Attribute": {
      const [object, { name }] = [expression(node.object, frame), node];
      return (run, at) => {
        run.spend(1);
        return getAttribute(run, object(run, at), name);
      };
    }
    case "Item":
      return item(expression(node.object, frame), node.index, frame);
    case "Call":
      return call(node.callee, withArguments(node, frame), frame, node.line);
    case "Filter":
      return filter(node, frame);
    case "Test": {
      const test = known(node.name, isTest, testNamed, "test", frame, node.line);
      return apply(test, expression(node.input, frame), withArguments(node, frame), node.line);
    }
  }
  throw new TemplateFault(`line ${node.line}: this expression is not allowed here`);
}

function evaluated(run: Run, at: Locals, items: readonly Evaluate[]): Value[] {
  run.spend(1 + items.length);
  return items.map((item) => item(run, at));
}

function dict(keyNodes: readonly Expression[], valueNodes: readonly Expression[], frame: Frame): Evaluate {
  const keys = keyNodes.map((key) => expression(key, frame));
  const values = valueNodes.map((value) => expression(value, frame));
  return (run, at) => {
    run.spend(1 + keys.length);
    const made = new Dict();
    keys.forEach((key, i) => {
      made.set(key(run, at), values[i]!(run, at));
    });
    return made;
  };
}

function binaryOperator(operator: string, left: Evaluate, right: Evaluate): Evaluate {
  if (operator === "and") {
    return (run, at) => {
      const value = left(run, at);
      return truth(value) ? right(run, at) : value;
    };
  }
  if (operator === "or") {
    return (run, at) => {
      const value = left(run, at);
      return truth(value) ? value : right(run, at);
    };
  }
  return (run, at) => {
    run.spend(1);
    return binary(run, operator, left(run, at), right(run, at));
  };
}

function comparison(first: Evaluate, operators: readonly string[], others: readonly Evaluate[]): Evaluate {
  return (run, at) => {
    let left = first(run, at);
    for (let i = 0; i < others.length; i++) {
      const right = others[i]!(run, at);
      if (!compares(run, operators[i]!, left, right)) return false;
      left = right;
    }
    return true;
  };
}

function item(object: Evaluate, index: Expression, frame: Frame): Evaluate {
  if (index.type !== "Slice") {
    if (index.type === "Tuple" && index.items.some((one) => one.type === "Slice")) {
      throw new TemplateFault(`line ${index.line}: several slices in one index are not supported`);
    }
    const place = expression(index, frame);
    return (run, at) => {
      run.spend(1);
      return getItem(run, object(run, at), place(run, at));
    };
  }
  const bounds = [index.start, index.stop, index.step].map((bound) =>
    bound === null ? null : expression(bound, frame),
  );
  return (run, at) => {
    run.spend(1);
    const value = object(run, at);
    const places = bounds.map((bound) => bound?.(run, at) ?? null);
    return slice(run, value, places as [Value, Value, Value]);
  };
}

/** Evaluated arguments. */
export interface Passed {
  readonly args: readonly Value[];
  readonly keywords: Keywords;
}
type Pass = (run: Run, at: Locals) => Passed;

export function withArguments(node: Arguments, frame: Frame): Pass {
  const args = node.args.map((arg) => expression(arg, frame));
  const keywords = node.keywords.map(({ name, value }) => [name, expression(value, frame)] as const);
  const rest = node.rest === null ? null : expression(node.rest, frame);
  const restKeywords = node.restKeywords === null ? null : expression(node.restKeywords, frame);
  if (keywords.length === 0 && rest === null && restKeywords === null) {
    if (args.length === 0) return () => ({ args: [], keywords: NO_KEYWORDS });
    return (run, at) => ({ args: args.map((arg) => arg(run, at)), keywords: NO_KEYWORDS });
  }
  return (run, at) => {
    const given = args.map((arg) => arg(run, at));
    const named = new Map<string, Value>();
    for (const [name, value] of keywords) named.set(name, value(run, at));
    if (rest !== null) {
      for (const one of iterate(run, rest(run, at))) {
        run.spend(1);
        given.push(one);
      }
    }
    const more = restKeywords?.(run, at);
    if (more !== undefined && !(more instanceof Dict)) {
      throw new TemplateFault(`'**': expected a dict, found ${described(more)}`);
    }
    for (const [key, value] of more?.pairs() ?? []) {
      run.spend(1);
      if (!isStr(key)) throw new TemplateFault("'**': expected names that are texts");
      if (named.has(plain(key))) throw new TemplateFault(`argument '${plain(key)}' is given twice`);
      named.set(plain(key), value);
    }
    return { args: given, keywords: named };
  };
}

function call(callee: Expression, pass: Pass, frame: Frame, line: number): Evaluate {
  if (callee.type === "Attribute") {
    const [object, { name }] = [expression(callee.object, frame), callee];
    return (run, at) => {
      run.line = line;
      const value = object(run, at);
      const { args, keywords } = pass(run, at);
      spendOn(run, args);
      return callMethod(run, value, name, args, keywords);
    };
  }
  const called = expression(callee, frame);
  return (run, at) => {
    run.line = line;
    const value = called(run, at);
    const { args, keywords } = pass(run, at);
    spendOn(run, args);
    return callValue(run, value, args, keywords);
  };
}

function spendOn(run: Run, args: readonly Value[]): void {
  run.spend(1);
  for (const arg of args) if (isStr(arg)) run.read(plain(arg).length);
}

function filter(node: Filter, frame: Frame): Evaluate {
  const found = known(node.name, isFilter, filterNamed, "filter", frame, node.line);
  let input: Evaluate;
  if (node.input !== null) input = expression(node.input, frame);
  else {
    const { get } = reference(frame.symbols.func, frame.captured!);
    input = (_, at) => get(at)!;
  }
  return apply(found, input, withArguments(node, frame), node.line);
}

/**
 * A filter or test by name. An unknown one is an error at once, or in a soft frame when
 * it is evaluated.
 */
function known(
  name: string,
  exists: (name: string) => boolean,
  find: (name: string) => Applied,
  what: string,
  frame: Frame,
  line: number,
): Applied {
  if (exists(name)) return find(name);
  if (!frame.soft) throw new TemplateFault(`line ${line}: no ${what} named '${name}'`);
  return () => find(name)(...([] as unknown as Parameters<Applied>));
}

function apply(applied: Applied, input: Evaluate, pass: Pass, line: number): Evaluate {
  return (run, at) => {
    run.line = line;
    const value = input(run, at);
    const { args, keywords } = pass(run, at);
    run.spend(1);
    if (isStr(value)) run.read(plain(value).length);
    spendOn(run, args);
    const result = applied(run, value, args, keywords);
    if (isStr(result)) run.room(plain(result).length);
    return result;
  };
}
