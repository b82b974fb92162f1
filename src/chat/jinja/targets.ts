// Compiles assignments: to names, tuples and members of namespaces.

import { type Run, TemplateFault } from "./bounds.ts";
import type { Frame } from "./expressions.ts";
import type { Expression, Name } from "./nodes.ts";
import { described, tryIterate } from "./operators.ts";
import { type Locals, reference } from "./scope.ts";
import { Namespace, type Value } from "./values.ts";

type Assign = (run: Run, at: Locals, value: Value) => void;

/** Compiles a target to a function that assigns a value to it. */
export function target(node: Expression, frame: Frame): Assign {
  if (node.type === "Tuple") {
    const targets = node.items.map((item) => target(item, frame));
    return (run, at, value) => {
      const values = unpacked(run, tryIterate(run, value), targets.length, value);
      targets.forEach((assign, i) => {
        assign(run, at, values[i]!);
      });
    };
  }
  if (node.type === "Member") {
    const namespace = namespaceOf(node, frame);
    return (_, at, value) => namespace(at).set(node.attribute, value);
  }
  const { name } = node as Name;
  const { set } = reference(frame.symbols.func, frame.symbols.find(name)!);
  if (!frame.top) return (_, at, value) => set(at, value);
  return (_, at, value) => {
    set(at, value);
    at.context.set(name, value);
  };
}

/** The namespace of a member. */
export function namespaceOf(
  node: { readonly name: string; readonly attribute: string },
  frame: Frame,
): (at: Locals) => Namespace {
  const { get } = reference(frame.symbols.func, frame.symbols.find(node.name)!);
  return (at) => {
    const value = get(at);
    if (value instanceof Namespace) return value;
    throw new TemplateFault(`'${node.name}.${node.attribute}' cannot be assigned: '${node.name}' is not a namespace`);
  };
}

/** Unpacks a value to exactly as many items as there are targets. */
function unpacked(run: Run, items: Iterable<Value> | undefined, count: number, value: Value): Value[] {
  if (items === undefined) throw new TemplateFault(`expected ${count} values to assign, found ${described(value)}`);
  const found: Value[] = [];
  for (const item of items) {
    run.spend(1);
    found.push(item);
    if (found.length > count) break;
  }
  if (found.length === count) return found;
  throw new TemplateFault(`expected ${count} values to assign, found ${found.length > count ? "more" : found.length}`);
}
