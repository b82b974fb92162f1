// Compiles a template's statements to functions that write their output.

import { callValue } from "./access.ts";
import { type Run, TemplateFault } from "./bounds.ts";
import { type Evaluate, expression, type Frame, withArguments } from "./expressions.ts";
import { forLoop } from "./for_loop.ts";
import { GLOBALS } from "./globals.ts";
import type { Block, CallBlock, Expression, If, Macro, Name, SetBlock, Statement, With } from "./nodes.ts";
import { truth } from "./operators.ts";
import { type MacroArguments, type MacroShape, MacroValue, Self } from "./runtime.ts";
import { Context, entering, Locals, reference } from "./scope.ts";
import { str } from "./show.ts";
import { Func, hasScopedBlock, readFirst, type Slot, Symbols } from "./symbols.ts";
import { namespaceOf, target } from "./targets.ts";
import type { Str } from "./text.ts";
import { Dict, type Keywords, NO_KEYWORDS, Tuple, Undefined, type Value } from "./values.ts";
import { captured, type End, type Execute, scope } from "./writing.ts";

/** Compiles a template to a function of its variables. @throws TemplateFault */
export function compile(body: readonly Statement[]): (run: Run, given: ReadonlyMap<string, Value>) => Str {
  return new Compiler().template(body);
}

class Compiler {
  /** The compiled blocks by name. */
  readonly #blocks = new Map<string, (run: Run, context: Context) => Str>();

  #scopedBlocks = false;

  template(body: readonly Statement[]): (run: Run, given: ReadonlyMap<string, Value>) => Str {
    this.#scopedBlocks = hasScopedBlock(body);
    const func = new Func(null);
    const symbols = new Symbols(null, func);
    const self = readFirst(body, ["self"]).has("self") ? symbols.parameter("self") : null;
    symbols.visit(body);
    const frame: Frame = { symbols, top: true, soft: false, inLoop: false, captured: null };
    const [enter, write] = [entering(func, symbols.loads), this.#body(body, frame)];
    return (run, given) => {
      const context = new Context(new Map([...GLOBALS, ...given]));
      const at = new Locals(func, null, context);
      if (self !== null) at.slots[self.index] = new Self(this.#blocks, context);
      enter(at);
      return captured(run, at, write).text;
    };
  }

  #body(nodes: readonly Statement[], frame: Frame): Execute {
    const all = nodes.map((node) => this.#statement(node, frame));
    if (all.length === 1) return all[0]!;
    return (run, at, out) => {
      for (const one of all) {
        const end = one(run, at, out);
        if (end !== "done") return end;
      }
      return "done";
    };
  }

  #statement(node: Statement, frame: Frame): Execute {
    switch (node.type) {
      case "Output":
        return output(node.parts, frame);
      case "If":
        return this.#if(node, { ...frame, soft: true });
      case "For":
        return forLoop(node, frame, this.#scopedBlocks, (nodes, inside) => this.#body(nodes, inside));
      case "Set":
        return set(node.target, node.value, frame, node.line);
      case "SetBlock":
        return this.#setBlock(node, frame);
      case "Macro": {
        const [make, assign] = [this.#macro(node, node.name, frame), target(nameOf(node), frame)];
        return (run, at) => {
          assign(run, at, make(at));
          return "done";
        };
      }
      case "CallBlock":
        return this.#callBlock(node, frame);
      case "FilterBlock": {
        const inner = scope(frame, [...node.body, node.filter], { captured: frame.symbols.func.slot() });
        const [write, keep] = [this.#body(node.body, inner), reference(inner.symbols.func, inner.captured!)];
        const [enter, filter] = [entering(inner.symbols.func, inner.symbols.loads), expression(node.filter, inner)];
        return (run, at, out) => {
          enter(at);
          const { text, end } = captured(run, at, write);
          if (end !== "done") return end;
          keep.set(at, text);
          out.push(str(run, filter(run, at)));
          return "done";
        };
      }
      case "With":
        return this.#with(node, frame);
      case "Block":
        return this.#block(node, frame);
      case "Autoescape": {
        const inner = scope(frame, [node.on, ...node.body], {});
        const enter = entering(inner.symbols.func, inner.symbols.loads);
        const [on, write] = [expression(node.on, inner), this.#body(node.body, inner)];
        return (run, at, out) => {
          enter(at);
          if (truth(on(run, at))) throw new TemplateFault("{% autoescape %} is not supported: prompts are not HTML");
          return write(run, at, out);
        };
      }
      case "OtherTemplate": {
        const { tag, line } = node;
        return (run) => {
          run.line = line;
          throw new TemplateFault(`{% ${tag} %} is not supported: a chat template cannot load other templates`);
        };
      }
      case "Break":
      case "Continue": {
        const end: End = node.type === "Break" ? "break" : "continue";
        if (!frame.inLoop) throw new TemplateFault(`line ${node.line}: {% ${end} %} is outside of a loop`);
        return (run) => {
          run.spend(1);
          return end;
        };
      }
    }
  }

  #if(node: If, frame: Frame): Execute {
    const branches = [node, ...node.elifs].map(
      ({ test, body, line }) => [expression(test, frame), this.#body(body, frame), line] as const,
    );
    const otherwise = this.#body(node.otherwise, frame);
    return (run, at, out) => {
      for (const [test, body, line] of branches) {
        run.line = line;
        run.spend(1);
        if (truth(test(run, at))) return body(run, at, out);
      }
      return otherwise(run, at, out);
    };
  }

  #setBlock(node: SetBlock, frame: Frame): Execute {
    const inner = scope(frame, node.body, { captured: frame.symbols.func.slot() });
    if (node.filter !== null) inner.symbols.visit([node.filter]);
    const { func, loads } = inner.symbols;
    const [write, keep, enter] = [
      this.#body(node.body, inner),
      reference(func, inner.captured!),
      entering(func, loads),
    ];
    const filter: Evaluate = node.filter === null ? (_, at) => keep.get(at)! : expression(node.filter, inner);
    const assign = target(node.target, frame);
    return (run, at) => {
      enter(at);
      const { text, end } = captured(run, at, write);
      if (end !== "done") return end;
      keep.set(at, text);
      assign(run, at, filter(run, at));
      return "done";
    };
  }

  /** A function that creates the macro value where the macro is defined. */
  #macro(node: Macro | CallBlock, name: string | null, frame: Frame): (at: Locals) => MacroValue {
    const func = new Func(frame.symbols.func);
    const symbols = new Symbols(frame.symbols, func);
    symbols.visit([...node.params, ...node.defaults, ...node.body]);
    const names = node.params.map((param) => param.name);
    const special = readFirst(node.body, ["caller", "kwargs", "varargs"]);
    const takes = (one: string): boolean => special.has(one) && !names.includes(one);
    const caller = names.indexOf("caller");
    if (special.has("caller") && caller >= 0 && caller < names.length - node.defaults.length) {
      throw new TemplateFault(`line ${node.line}: the parameter 'caller' needs a default`);
    }
    const slots = {
      caller: takes("caller") ? symbols.parameter("caller") : null,
      kwargs: takes("kwargs") ? symbols.parameter("kwargs") : null,
      varargs: takes("varargs") ? symbols.parameter("varargs") : null,
    };
    const inner: Frame = { symbols, top: false, soft: frame.soft, inLoop: false, captured: null };
    const params = node.params.map(({ name }, i) => {
      const place = i - (names.length - node.defaults.length);
      const missing = new Undefined(`parameter '${name}' was not provided`);
      const or: Evaluate = place < 0 ? () => missing : expression(node.defaults[place]!, inner);
      return { slot: symbols.find(name)!, or };
    });
    const [enter, write] = [entering(func, symbols.loads), this.#body(node.body, inner)];
    const shape: MacroShape = {
      name,
      parameters: names,
      takes: {
        caller: slots.caller !== null || (special.has("caller") && caller >= 0),
        kwargs: slots.kwargs !== null,
        varargs: slots.varargs !== null,
      },
    };
    const run = (run: Run, outer: Locals, given: MacroArguments): Str => {
      const at = new Locals(func, outer, outer.context);
      const put = (slot: Slot | null, value: Value): void => {
        if (slot !== null) at.slots[slot.index] = value;
      };
      params.forEach(({ slot }, i) => {
        at.slots[slot.index] = given.values[i];
      });
      put(slots.caller, given.caller);
      put(slots.kwargs, dictOf(given.kwargs));
      put(slots.varargs, new Tuple(given.varargs));
      enter(at);
      for (const { slot, or } of params) if (at.slots[slot.index] === undefined) put(slot, or(run, at));
      return captured(run, at, write).text;
    };
    return (at) => new MacroValue(shape, (inside, given) => run(inside, at, given));
  }

  #callBlock(node: CallBlock, frame: Frame): Execute {
    const make = this.#macro(node, null, frame);
    const { call, line } = node;
    if (call === null) {
      return (run, at, out) => {
        run.line = line;
        out.push(str(run, make(at).call(run, [], NO_KEYWORDS)));
        return "done";
      };
    }
    const [callee, pass] = [expression(call.callee, frame), withArguments(call, frame)];
    return (run, at, out) => {
      run.line = line;
      const caller = make(at);
      const called = callee(run, at);
      const { args, keywords } = pass(run, at);
      if (keywords.has("caller")) throw new TemplateFault("{% call %}: 'caller' is given twice");
      out.push(str(run, callValue(run, called, args, new Map([...keywords, ["caller", caller]]))));
      return "done";
    };
  }

  #with(node: With, frame: Frame): Execute {
    const inner = scope(frame, [...node.targets, ...node.body], {});
    const enter = entering(inner.symbols.func, inner.symbols.loads);
    const pairs = node.targets.map((one, i) => [target(one, inner), expression(node.values[i]!, frame)] as const);
    const write = this.#body(node.body, inner);
    return (run, at, out) => {
      run.line = node.line;
      enter(at);
      for (const [assign, value] of pairs) assign(run, at, value(run, at));
      return write(run, at, out);
    };
  }

  #block(node: Block, frame: Frame): Execute {
    const func = new Func(null);
    const symbols = new Symbols(null, func);
    const special = readFirst(node.body, ["self", "super"]);
    const self = special.has("self") ? symbols.parameter("self") : null;
    const parent = special.has("super") ? symbols.parameter("super") : null;
    symbols.visit(node.body);
    const inner: Frame = { symbols, top: false, soft: false, inLoop: false, captured: null };
    const [enter, write] = [entering(func, symbols.loads), this.#body(node.body, inner)];
    const show = (run: Run, context: Context): Str =>
      run.nested(() => {
        const at = new Locals(func, null, context);
        if (self !== null) at.slots[self.index] = new Self(this.#blocks, context);
        if (parent !== null) at.slots[parent.index] = new Undefined(`there is no parent block called '${node.name}'.`);
        enter(at);
        return captured(run, at, write).text;
      });
    this.#blocks.set(node.name, show);
    const stores = node.scoped ? visibleStores(frame) : [];
    return (run, at, out) => {
      const more = stores.flatMap(([name, { get }]): (readonly [string, Value])[] => {
        const value = get(at);
        return value === undefined ? [] : [[name, value]];
      });
      out.push(show(run, node.scoped ? at.context.with(more) : at.context));
      return "done";
    };
  }
}

function nameOf(node: Macro): Name {
  return { type: "Name", line: node.line, name: node.name, use: "store" };
}

function set(into: Expression, value: Expression, frame: Frame, line: number): Execute {
  const [assign, evaluate] = [target(into, frame), expression(value, frame)];
  const members = into.type === "Tuple" ? into.items : [into];
  const checks = members.flatMap((one) => (one.type === "Member" ? [namespaceOf(one, frame)] : []));
  return (run, at) => {
    run.line = line;
    run.spend(1);
    for (const check of checks) check(at);
    assign(run, at, evaluate(run, at));
    return "done";
  };
}

function output(
  nodes: readonly (Expression | { readonly type: "Data"; readonly text: string })[],
  frame: Frame,
): Execute {
  const parts = nodes.map((node): ((run: Run, at: Locals) => Str) => {
    if (node.type === "Data") return () => node.text;
    const [evaluate, { line }] = [expression(node, frame), node];
    return (run, at) => {
      run.line = line;
      return str(run, evaluate(run, at));
    };
  });
  return (run, at, out) => {
    run.spend(parts.length);
    for (const part of parts) out.push(part(run, at));
    return "done";
  };
}

/** All variables assigned in the scopes around a scoped block. */
function visibleStores(frame: Frame): [string, ReturnType<typeof reference>][] {
  const names = new Set<string>();
  for (let symbols: Symbols | null = frame.symbols; symbols !== null; symbols = symbols.parent) {
    for (const name of symbols.stores) names.add(name);
  }
  return [...names].map((name) => [name, reference(frame.symbols.func, frame.symbols.find(name)!)]);
}

function dictOf(keywords: Keywords): Dict {
  const dict = new Dict();
  for (const [key, value] of keywords) dict.set(key, value);
  return dict;
}
