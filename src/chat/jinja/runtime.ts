// Values that statements create: the variables `loop` and `self`, and macros.

import { type Run, TemplateFault } from "./bounds.ts";
import { equal, lengthOf } from "./operators.ts";
import type { Context } from "./scope.ts";
import type { Str } from "./text.ts";
import { Fn, type Keywords, orElse, Special, Tuple, Undefined, type Value } from "./values.ts";

/** The variable `loop`: iterates over the items and answers loop.index, loop.last, ... */
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

  /** Advances to the next item; undefined after the last. */
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

/** The signature of a macro or a call block. */
export interface MacroShape {
  /** Null for the body of a call block. */
  readonly name: string | null;
  readonly parameters: readonly string[];
  readonly takes: { readonly caller: boolean; readonly kwargs: boolean; readonly varargs: boolean };
}

/**
 * Arguments in the order of the parameters (undefined if missing), and caller, kwargs and varargs
 * if the macro uses them.
 */
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
      caller = rest.get("caller") ?? caller; // None counts as no caller
      rest.delete("caller");
    }
    const label = `macro '${name ?? "caller"}'`;
    if (!takes.kwargs) for (const key of rest.keys()) throw new TemplateFault(`${label} has no argument '${key}'`);
    const varargs = args.slice(parameters.length);
    if (!takes.varargs && varargs.length > 0) {
      throw new TemplateFault(`${label}: expected at most ${parameters.length} arguments, found ${args.length}`);
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

/** The variable `self`: calling self.name() renders the block again. */
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
