// The variables of a running template: those passed in, and a set of locals for each function call.

import type { Func, Load, Slot } from "./symbols.ts";
import type { Value } from "./values.ts";

/**
 * Variables by name: those passed in, and those that the template set at its top level, which
 * blocks see.
 */
export class Context {
  readonly #given: ReadonlyMap<string, Value>;
  readonly #own = new Map<string, Value>();

  constructor(given: ReadonlyMap<string, Value>) {
    this.#given = given;
  }

  resolve(name: string): Value | undefined {
    const own = this.#own.get(name);
    return own === undefined ? this.#given.get(name) : own;
  }

  set(name: string, value: Value): void {
    this.#own.set(name, value);
  }

  /** A copy with additional variables. */
  with(more: Iterable<readonly [string, Value]>): Context {
    return new Context(new Map([...this.#given, ...this.#own, ...more]));
  }
}

/** The local variables of one function call; a variable without a value is undefined. */
export class Locals {
  readonly slots: (Value | undefined)[];
  readonly outer: Locals | null;
  readonly context: Context;

  constructor(func: Func, outer: Locals | null, context: Context) {
    this.slots = new Array<Value | undefined>(func.size).fill(undefined);
    this.outer = outer;
    this.context = context;
  }
}

/** Access to a variable of a function or of one of its enclosing functions. */
export interface Reference {
  get(at: Locals): Value | undefined;
  set(at: Locals, value: Value | undefined): void;
}

export function reference(from: Func, slot: Slot): Reference {
  let hops = 0;
  for (let func: Func | null = from; func !== slot.func && func !== null; func = func.parent) hops++;
  const { index } = slot;
  const place = (at: Locals): Locals => {
    let locals = at;
    for (let i = 0; i < hops; i++) locals = locals.outer!;
    return locals;
  };
  if (hops === 0) {
    return {
      get: (at) => at.slots[index],
      set: (at, value) => {
        at.slots[index] = value;
      },
    };
  }
  return {
    get: (at) => place(at).slots[index],
    set: (at, value) => {
      place(at).slots[index] = value;
    },
  };
}

/** Returns a function that initialises the variables of a scope. */
export function entering(func: Func, loads: ReadonlyMap<Slot, Load>): (at: Locals) => void {
  const steps = [...loads].flatMap(([slot, load]): ((at: Locals) => void)[] => {
    const { set } = reference(func, slot);
    if (load.from === "parameter") return [];
    if (load.from === "nothing") return [(at) => set(at, undefined)];
    if (load.from === "context") return [(at) => set(at, at.context.resolve(load.name))];
    const { get } = reference(func, load.slot);
    return [(at) => set(at, get(at))];
  });
  return (at) => {
    for (const step of steps) step(at);
  };
}
