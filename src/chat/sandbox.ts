// Runs a chat template within bounds: whoever made the folder wrote it, and it must neither hang nor fill the memory.

import * as library from "@huggingface/jinja";
import { strftime } from "./strftime.ts";

/** Characters of a template; the longest published ones have 40,000. */
const MAX_TEMPLATE = 2 ** 18;
const MAX_SPACE = 1000;
/** Characters of any text that a template makes, beyond 16 for each character that it was given. */
const MAX_TEXT = 2 ** 22;
/** What a rendering may spend, beyond 8 for each character given. A unit is one node evaluated or 16 characters handled. */
const BUDGET = 1_000_000;
/** Nodes within nodes, macros that call themselves included. */
const MAX_DEPTH = 400;
/** Items of one range(). */
const MAX_RANGE = 100_000;

/** A template's own raise_exception(): it refuses the conversation. */
export class Refusal extends Error {}

/** A template that is wrong, or that goes beyond its bounds. */
export class TemplateFault extends Error {}

/** What the interpreter calls a value; objects are Maps, so that no name reaches a prototype. */
interface Value {
  readonly type: string;
  readonly value: unknown;
}
/** A node of the parsed template; which fields it has depends on `type`. */
interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Variables of one scope. */
interface Scope {
  set(name: string, value: unknown): unknown;
}

/** What is used of the library, whose own types NodeNext cannot follow (they import without file extensions). */
interface Library {
  tokenize(source: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }): unknown;
  parse(tokens: unknown): Node;
  readonly Environment: new () => Scope;
  readonly Interpreter: new (
    globals: Scope,
  ) => { readonly global: Scope; evaluate(node: Node | undefined, scope: Scope): Value };
}
const { Environment, Interpreter, parse, tokenize } = library as unknown as Library;

export interface Template {
  /** Names of variables that the template mentions anywhere. */
  readonly mentions: ReadonlySet<string>;
  /** The text for these variables. @throws Refusal, TemplateFault */
  render(variables: Readonly<Record<string, unknown>>): string;
}

/** @throws TemplateFault for what is no template */
export function parseTemplate(source: string): Template {
  if (source.length > MAX_TEMPLATE) {
    throw new TemplateFault(`expected at most ${MAX_TEMPLATE} characters, found ${source.length}`);
  }
  // The library looks for its tags with expressions that take the square of a run of white space.
  if (source.split(/\S+/).some((run) => run.length > MAX_SPACE)) {
    throw new TemplateFault(`expected at most ${MAX_SPACE} characters of white space in a row, found more`);
  }
  const program = faults(() => parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true })));
  const mentions = new Set<string>();
  const shown = new Set<unknown>();
  faults(() => survey(program, mentions, shown));
  return {
    mentions,
    render(variables) {
      const given = lengthOf(variables);
      const bounds = new Bounds(BUDGET + 8 * given, MAX_TEXT + 16 * given);
      return faults(() => new BoundedInterpreter(environment(variables, bounds), bounds, shown).text(program));
    },
  };
}

/** Whatever the interpreter throws is the template's fault, its stack overflows included. */
function faults<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof Refusal || error instanceof TemplateFault) throw error;
    if (!(error instanceof Error)) throw error;
    const message = error instanceof RangeError ? `nested too deeply or too large (${error.message})` : error.message;
    throw new TemplateFault(message || "break or continue outside a loop", { cause: error });
  }
}

/** Collects the names mentioned, and the nodes whose values are put into the text. */
function survey(node: unknown, mentions: Set<string>, shown: Set<unknown>): void {
  if (Array.isArray(node)) for (const one of node) survey(one, mentions, shown);
  else if (node instanceof Map) for (const pair of node) survey(pair, mentions, shown);
  else if (typeof node === "object" && node !== null) {
    const { type, value } = node as Node;
    if (type === "Identifier" && typeof value === "string") mentions.add(value);
    for (const [field, inner] of Object.entries(node)) {
      if (/^(body|alternate|defaultBlock)$/.test(field) && Array.isArray(inner))
        for (const one of inner) shown.add(one);
      survey(inner, mentions, shown);
    }
  }
}

/** Characters and members of plain data. */
function lengthOf(data: unknown): number {
  if (typeof data === "string") return data.length;
  if (typeof data !== "object" || data === null) return 1;
  return Object.entries(data).reduce((sum, [key, value]) => sum + key.length + lengthOf(value), 1);
}

class Bounds {
  readonly maxText: number;
  private left: number;
  private readonly budget: number;

  constructor(budget: number, maxText: number) {
    this.budget = budget;
    this.left = budget;
    this.maxText = maxText;
  }

  spend(units: number): void {
    this.left -= units;
    // Also for NaN, which numbers of a template can make.
    if (!(this.left >= 0)) {
      throw new TemplateFault(`it takes more than the ${this.budget} steps that a rendering may take; does it loop?`);
    }
  }

  /** The size of a value with all that it holds, which is what turning it into text may cost; spent here. */
  weigh(value: Value): number {
    let size = 0;
    const stack: unknown[] = [value];
    for (let one = stack.pop() as Value | undefined; one !== undefined; one = stack.pop() as Value | undefined) {
      const inner = one.value;
      let own = 1;
      if (typeof inner === "string") own += inner.length;
      else if (typeof inner === "number") own += Math.min(Math.abs(inner), 20);
      else if (Array.isArray(inner)) for (const item of inner) stack.push(item);
      else if (inner instanceof Map) {
        for (const [key, item] of inner as Map<string, Value>) {
          own += key.length;
          stack.push(item);
        }
      }
      this.spend(1 + own / 16);
      size += own;
    }
    return size;
  }
}

function environment(variables: Readonly<Record<string, unknown>>, bounds: Bounds): Scope {
  const globals = new Environment();
  const set = (name: string, value: unknown): void => void globals.set(name, value);
  for (const [name, value] of [
    ["true", true],
    ["false", false],
    ["none", null],
  ] as const) {
    set(name, value);
    set(name[0]!.toUpperCase() + name.slice(1), value);
  }
  set("raise_exception", (message: unknown) => {
    throw new Refusal(String(message));
  });
  set("strftime_now", (format: unknown) => {
    bounds.spend(100);
    return strftime(new Date(), String(format).slice(0, 1000));
  });
  set("range", (...numbers: unknown[]) => {
    const [start, stop, step = 1] = numbers.length === 1 ? [0, numbers[0]] : numbers;
    if (![start, stop, step].every(Number.isInteger) || step === 0)
      throw new TemplateFault("range(): expected whole numbers");
    const count = Math.max(0, Math.ceil(((stop as number) - (start as number)) / (step as number)));
    if (count > MAX_RANGE) throw new TemplateFault(`range(): expected at most ${MAX_RANGE} numbers, found ${count}`);
    bounds.spend(count);
    return Array.from({ length: count }, (_, i) => (start as number) + i * (step as number));
  });
  for (const [name, value] of Object.entries(variables)) if (value !== undefined) set(name, value);
  return globals;
}

/** A part of an expression that has been evaluated, in the place of that part. */
class Given implements Node {
  readonly type = "Given";
  readonly result: Value;
  readonly [field: string]: unknown;
  constructor(result: Value) {
    this.result = result;
  }
}

/**
 * The library's interpreter, which evaluates every node through evaluate(). What can cost more than its own node, operators, filters, calls, loops,
 * has its parts evaluated and weighed first.
 */
class BoundedInterpreter extends Interpreter {
  private readonly bounds: Bounds;
  private readonly shown: ReadonlySet<unknown>;
  private depth = 0;
  /** A method of a text or list, wherever the template has put it -> what it is a method of, and its name. */
  private readonly owners = new WeakMap<object, { readonly owner: Value; readonly name: unknown }>();

  constructor(globals: Scope, bounds: Bounds, shown: ReadonlySet<unknown>) {
    super(globals);
    this.bounds = bounds;
    this.shown = shown;
  }

  text(program: Node): string {
    return String(this.value(program, this.global).value);
  }

  override evaluate(node: Node | undefined, scope: Scope): Value {
    return node === undefined ? super.evaluate(node, scope) : this.value(node, scope);
  }

  private value(node: Node, scope: Scope): Value {
    if (node instanceof Given) return node.result;
    // An exception in the library, which an unknown name and a `break` are, costs as much as many nodes.
    this.bounds.spend(node.type === "Break" || node.type === "Continue" ? 50 : 1);
    if (++this.depth > MAX_DEPTH)
      throw new TemplateFault(`it is nested more than ${MAX_DEPTH} levels deep; does it call itself?`);
    let value: Value;
    try {
      const ready = this.weighed(node, scope);
      value = ready instanceof Given ? ready.result : super.evaluate(ready, scope);
    } finally {
      this.depth--; // the library catches what `break` and `continue` throw
    }
    if (value.type === "UndefinedValue") this.bounds.spend(20);
    else if (typeof value.value === "string" && value.value.length > this.bounds.maxText) {
      throw new TemplateFault(`it makes a text of more than ${this.bounds.maxText} characters`);
    } else if (this.shown.has(node)) this.bounds.weigh(value);
    return value;
  }

  /** The node with those of its parts evaluated whose size decides what it costs. */
  private weighed(node: Node, scope: Scope): Node {
    const given = (part: unknown): Given => new Given(this.value(part as Node, scope));
    const weighedPart = (part: unknown): Given => {
      const one = given(part);
      this.bounds.weigh(one.result);
      return one;
    };
    switch (node.type) {
      case "BinaryExpression": {
        const operator = (node.operator as { value: string }).value;
        if (operator === "and" || operator === "or") return node; // the right side may have to stay unevaluated
        return { ...node, left: weighedPart(node.left), right: weighedPart(node.right) };
      }
      case "TestExpression":
        return { ...node, operand: given(node.operand) };
      case "For":
        return this.loop(node, scope);
      case "FilterStatement":
        return this.filter(
          {
            type: "FilterExpression",
            operand: given({ type: "Program", body: node.body }),
            filter: node.filter,
          },
          scope,
        );
      case "FilterExpression":
        return this.filter(node, scope);
      case "CallExpression":
        return this.call(node, scope);
      case "CallStatement":
        return { ...node, call: this.call(node.call as Node, scope) };
      case "MemberExpression":
        return this.member(node, scope);
      default:
        return node;
    }
  }

  private loop(node: Node, scope: Scope): Node {
    const iterable = node.iterable as Node;
    const select = iterable.type === "SelectExpression";
    const items = new Given(this.value((select ? iterable.lhs : iterable) as Node, scope));
    const inner = items.result.value;
    this.bounds.spend(20 * (Array.isArray(inner) ? inner.length : inner instanceof Map ? inner.size : 1));
    return { ...node, iterable: select ? { ...iterable, lhs: items } : items };
  }

  private filter(node: Node, scope: Scope): Node {
    const filter = node.filter as Node;
    const name = filter.type === "CallExpression" ? (filter.callee as Node).value : filter.value;
    const operand = new Given(this.value(node.operand as Node, scope));
    if (/^(length|first|last|default|safe|list)$/.test(String(name))) return { ...node, operand };
    const size = this.bounds.weigh(operand.result);
    if (/sort/.test(String(name))) this.bounds.spend(16 * size);
    if (filter.type !== "CallExpression" || /attr$/.test(String(name))) return { ...node, operand };
    const { args, product } = this.arguments(filter.args as readonly Node[], scope);
    this.bounds.spend((size * product) / 16);
    return { ...node, operand, filter: { ...filter, args } };
  }

  private call(node: Node, scope: Scope): Node {
    const { args, product } = this.arguments(node.args as readonly Node[], scope);
    const callee = new Given(this.value(node.callee as Node, scope));
    const method = this.owners.get(callee.result);
    if (method) {
      const size = this.bounds.weigh(method.owner);
      this.bounds.spend(
        method.name === "replace" ? (size * product) / 16 : method.name === "dictsort" ? 16 * size : size / 4,
      );
    }
    return { ...node, callee, args };
  }

  /** Arguments evaluated, and their sizes multiplied: what `replace` and `join` make of a text grows so. */
  private arguments(args: readonly Node[], scope: Scope): { args: Node[]; product: number } {
    let product = 1;
    const given = (part: unknown): Given => {
      const one = new Given(this.value(part as Node, scope));
      const { value } = one.result;
      product *= 1 + this.bounds.weigh(one.result) + (typeof value === "number" ? Math.abs(value) : 0);
      return one;
    };
    const evaluated = args.map((arg): Node => {
      if (arg.type === "KeywordArgumentExpression") return { ...arg, value: given(arg.value) };
      if (arg.type === "SpreadExpression") return { ...arg, argument: given(arg.argument) };
      return given(arg);
    });
    return { args: evaluated, product };
  }

  private member(node: Node, scope: Scope): Node {
    const object = new Given(this.value(node.object as Node, scope));
    if (node.computed && (node.property as Node).type === "SliceExpression") {
      this.bounds.spend(this.bounds.weigh(object.result));
      return { ...node, object };
    }
    const property = node.computed ? new Given(this.value(node.property as Node, scope)) : (node.property as Node);
    const name = property instanceof Given ? property.result.value : property.value;
    const found = super.evaluate({ ...node, object, property }, scope);
    if (found.type === "FunctionValue") this.owners.set(found, { owner: object.result, name });
    return new Given(found);
  }
}
