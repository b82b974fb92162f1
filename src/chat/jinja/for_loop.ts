// Compiles {% for %}, with Jinja2's rules for scopes, `else` and recursive loops.

import type { Run } from "./bounds.ts";
import { expression, type Frame } from "./expressions.ts";
import type { Expression, For } from "./nodes.ts";
import { iterate, truth } from "./operators.ts";
import { Loop } from "./runtime.ts";
import { entering, Locals, reference } from "./scope.ts";
import { joined } from "./show.ts";
import { Func, readFirst, Symbols } from "./symbols.ts";
import { target } from "./targets.ts";
import type { Str } from "./text.ts";
import { Lazy, type Value } from "./values.ts";
import type { Compile, End, Execute } from "./writing.ts";

/** @param scopedBlocks whether the template has any: they might read `loop` */
export function forLoop(node: For, frame: Frame, scopedBlocks: boolean, body: Compile): Execute {
  const outer = frame.symbols;
  const func = node.recursive ? new Func(outer.func) : outer.func;
  const symbols = new Symbols(outer, func);
  const extended = node.recursive || readFirst(node.body, ["loop"]).has("loop") || scopedBlocks;
  const loopSlot = extended ? symbols.parameter("loop") : null;
  symbols.target(node.target);
  symbols.visit(node.body);
  const inner: Frame = { symbols, top: false, soft: frame.soft, inLoop: true, captured: frame.captured };
  const other = { ...inner, symbols: new Symbols(outer, func), inLoop: frame.inLoop && !node.recursive };
  other.symbols.visit(node.otherwise);

  const select = node.test === null ? null : selecting(node.target, node.test, frame);
  const [enter, assign, write] = [entering(func, symbols.loads), target(node.target, inner), body(node.body, inner)];
  const [enterOther, otherwise] = [entering(func, other.symbols.loads), body(node.otherwise, other)];
  const leave = [...symbols.loads.keys()].map((slot) => reference(func, slot));
  const keepLoop = loopSlot === null ? null : reference(func, loopSlot);

  const go = (run: Run, at: Locals, out: Str[], loop: Loop | null, items: Iterable<Value>): End => {
    let nothing = true;
    const step = (item: Value): End => {
      run.spend(2);
      assign(run, at, item);
      if (loop !== null) keepLoop!.set(at, loop);
      enter(at);
      const end = write(run, at, out);
      // As in Jinja2: `else` also runs if every iteration ended with `break` or `continue`.
      if (end === "done") nothing = false;
      return end;
    };
    if (loop !== null) {
      for (let item = loop.next(); item !== undefined; item = loop.next()) if (step(item) === "break") break;
    } else for (const item of items) if (step(item) === "break") break;
    for (const slot of leave) slot.set(at, undefined);
    if (!nothing || node.otherwise.length === 0) return "done";
    enterOther(at);
    return otherwise(run, at, out);
  };
  const items = (run: Run, at: Locals, value: Value): { readonly over: Value; readonly items: Iterable<Value> } => {
    if (select === null) return { over: value, items: iterate(run, value) };
    const chosen = select(run, at, value);
    return { over: chosen, items: chosen };
  };
  const iterable = expression(node.iterable, frame);
  const { line } = node;
  if (!node.recursive) {
    return (run, at, out) => {
      run.line = line;
      const value = iterable(run, at);
      const through = items(run, at, value);
      const loop = extended ? new Loop(through.over, through.items, null, 0) : null;
      return go(run, at, out, loop, through.items);
    };
  }
  return (run, at, out) => {
    run.line = line;
    const recurse = (run: Run, value: Value, depth: number): Str =>
      run.nested(() => {
        const through = items(run, at, value);
        const own = new Locals(func, at, at.context);
        const inside: Str[] = [];
        go(run, own, inside, new Loop(through.over, through.items, recurse, depth), through.items);
        return joined(run, inside);
      });
    out.push(recurse(run, iterable(run, at), 0));
    return "done";
  };
}

/** Compiles the condition of `for ... if`: the result yields the items that pass it, lazily. */
function selecting(into: Expression, test: Expression, frame: Frame): (run: Run, at: Locals, value: Value) => Lazy {
  const func = new Func(frame.symbols.func);
  const symbols = new Symbols(frame.symbols, func);
  symbols.target(into);
  symbols.visit([test]);
  const inner: Frame = { ...frame, symbols, top: false, captured: null };
  const [enter, assign, passes] = [entering(func, symbols.loads), target(into, inner), expression(test, inner)];
  return (run, outer, value) =>
    new Lazy(
      (function* () {
        const at = new Locals(func, outer, outer.context);
        enter(at);
        for (const item of iterate(run, value)) {
          run.spend(2);
          assign(run, at, item);
          if (truth(passes(run, at))) yield item;
        }
      })(),
    );
}
