// What a template's own statements make: the variables `loop` and `self`, and macros.

import { type Run, TemplateFault } from "./bounds.ts";
import { equal, lengthOf } from "./operators.ts";
import type { Context } from "./scope.ts";
import type { Str } from "./text.ts";
import { Fn, type Keywords, orElse, Special, Tuple, Undefined, type Value } from "./values.ts";

/** What a `for` goes through, with what a template may ask about it. */
export class Loop extends Special {
  readonly type = "jinja2.runtime.LoopContext";
  #index0 = -1;
  readonly #depth0: number;
  readonly #known: number | undefined;
  #items: Iterator<Value>;
  #ahead: Value | undefined;
  #now: Value | undefined;
  #before: Value | undefined;
  #length: number | undefined;
  #changedTo: readonly Value[] | undefined;
  readonly #recurse: ((run: Run, value: Value, depth: number) => Str) | null;

  constructor(
    value: Value,
    items: Iterable<Value>,
    recurse: ((run: Run, value: Value, depth: number) => Str) | null,
    depth0: number,
  ) {
    super();
    this.#known = lengthOf(value);
    this.#items = items[Symbol.iterator]();
    this.#recurse = recurse;
    this.#depth0 = depth0;
  }

  /** Goes on to the next item, which is undefined behind the last. */
  next(): Value | undefined {
    const item = this.#peek();
    this.#ahead = undefined;
    if (item === undefined) return undefined;
    this.#index0++;
    [this.#before, this.#now] = [this.#now, item];
    return item;
  }

  #peek(): Value | undefined {
    if (this.#ahead === undefined) {
      const { done, value } = this.#items.next();
      if (!done) this.#ahead = value;
    }
    return this.#ahead;
  }

  #count(run: Run): number {
    if (this.#length !== undefined) return this.#length;
    if (this.#known !== undefined) this.#length = this.#known;
    else {
      const rest: Value[] = [];
      for (let { done, value } = this.#items.next(); !done; { done, value } = this.#items.next()) {
        run.spend(1);
        rest.push(value as Value);
      }
      this.#items = rest[Symbol.iterator]();
      this.#length = rest.length + this.#index0 + 1 + (this.#ahead === undefined ? 0 : 1);
    }
    return this.#length;
  }

  override attribute(run: Run, name: string): Value | undefined {
    switch (name) {
      case "index":
        return this.#index0 + 1;
      case "index0":
        return this.#index0;
      case "revindex":
        return this.#count(run) - this.#index0;
      case "revindex0":
        return this.#count(run) - this.#index0 - 1;
      case "first":
        return this.#index0 === 0;
      case "last":
        return this.#peek() === undefined;
      case "length":
        return this.#count(run);
      case "depth":
        return this.#depth0 + 1;
      case "depth0":
        return this.#depth0;
      case "previtem":
        return this.#index0 === 0 ? new Undefined("there is no previous item") : this.#before!;
      case "nextitem":
        return orElse(this.#peek(), () => new Undefined("there is no next item"));
      case "cycle":
        return new Fn(name, (_, args) => {
          if (args.length === 0) throw new TemplateFault("loop.cycle: expected items");
          return args[this.#index0 % args.length]!;
        });
      case "changed":
        return new Fn(name, (run, args) => this.#changed(run, args));
    }
    return undefined;
  }

  #changed(run: Run, values: readonly Value[]): boolean {
    const before = this.#changedTo;
    if (before !== undefined && equal(run, new Tuple(before), new Tuple(values))) return false;
    this.#changedTo = values;
    return true;
  }

  override readonly call = (run: Run, args: readonly Value[]): Value => {
    if (this.#recurse === null) throw new TemplateFault("loop(...): the loop is not marked 'recursive'");
    if (args.length !== 1) throw new TemplateFault("loop(...): expected one sequence");
    return this.#recurse(run, args[0]!, this.#depth0 + 1);
  };

  shown(run: Run): string {
    return `<LoopContext ${this.#index0 + 1}/${this.#count(run)}>`;
  }
}

/** What a macro or a call block takes, and what it does with it. */
export interface MacroShape {
  /** Null for the body of a call block. */
  readonly name: string | null;
  readonly parameters: readonly string[];
  readonly takes: { readonly caller: boolean; readonly kwargs: boolean; readonly varargs: boolean };
}

/** Arguments in the order of the parameters, undefined where one was not given; then caller, kwargs and varargs if they are taken. */
export interface MacroArguments {
  readonly values: readonly (Value | undefined)[];
  readonly caller: Value;
  readonly kwargs: Keywords;
  readonly varargs: readonly Value[];
}

export class MacroValue extends Special {
  readonly type = "jinja2.runtime.Macro";
  readonly #shape: MacroShape;
  readonly #body: (run: Run, given: MacroArguments) => Str;

  constructor(shape: MacroShape, body: (run: Run, given: MacroArguments) => Str) {
    super();
    this.#shape = shape;
    this.#body = body;
  }

  override readonly call = (run: Run, args: readonly Value[], keywords: Keywords): Value => {
    const { name, parameters, takes } = this.#shape;
    const rest = new Map(keywords);
    const values: (Value | undefined)[] = args.slice(0, parameters.length);
    let foundCaller = values.length === parameters.length && parameters.includes("caller");
    for (const parameter of parameters.slice(values.length)) {
      foundCaller ||= parameter === "caller";
      values.push(rest.get(parameter));
      rest.delete(parameter);
    }
    let caller: Value = new Undefined("no caller: the macro was not called by {% call %}");
    if (takes.caller && !foundCaller) {
      caller = rest.get("caller") ?? caller; // None is no caller either
      rest.delete("caller");
    }
    const who = `macro '${name ?? "caller"}'`;
    if (!takes.kwargs) for (const key of rest.keys()) throw new TemplateFault(`${who} has no argument '${key}'`);
    const varargs = args.slice(parameters.length);
    if (!takes.varargs && varargs.length > 0) {
      throw new TemplateFault(`${who}: expected at most ${parameters.length} arguments, found ${args.length}`);
    }
    return run.nested(() => this.#body(run, { values, caller, kwargs: rest, varargs }));
  };

  override attribute(_run: Run, name: string): Value | undefined {
    const { name: own, parameters, takes } = this.#shape;
    switch (name) {
      case "name":
        return own;
      case "arguments":
        return new Tuple(parameters);
      case "caller":
        return takes.caller;
      case "catch_kwargs":
        return takes.kwargs;
      case "catch_varargs":
        return takes.varargs;
    }
    return undefined;
  }

  shown(): string {
    return `<Macro ${this.#shape.name === null ? "anonymous" : `'${this.#shape.name}'`}>`;
  }
}

/** `self` in a template: its blocks, to be written once more. */
export class Self extends Special {
  readonly type = "jinja2.runtime.TemplateReference";
  readonly #blocks: ReadonlyMap<string, (run: Run, context: Context) => Str>;
  readonly #context: Context;
  constructor(blocks: ReadonlyMap<string, (run: Run, context: Context) => Str>, context: Context) {
    super();
    this.#blocks = blocks;
    this.#context = context;
  }
  override attribute(_run: Run, name: string): Value | undefined {
    const block = this.#blocks.get(name);
    return block && new Fn(name, (run) => block(run, this.#context));
  }
  shown(): string {
    return "<TemplateReference None>";
  }
}
