// Resolves names to variables. Reproduces Jinja2's scope analysis, since templates depend
// on its peculiarities.

import { TemplateFault } from "./bounds.ts";
import { childrenOf, type Expression, type Node, type Statement } from "./nodes.ts";

/** A unit with its own local variables: the template itself, a macro, a recursive loop. */
export class Func {
  readonly parent: Func | null;
  /** Number of its variables. */
  size = 0;
  constructor(parent: Func | null) {
    this.parent = parent;
  }
  slot(): Slot {
    return { func: this, index: this.size++ };
  }
}

/** A variable: its function and its index there. */
export interface Slot {
  readonly func: Func;
  readonly index: number;
}

/**
 * The initial value of a variable: a parameter, nothing, a variable passed to the template, or that
 * of an outer variable.
 */
export type Load =
  | { readonly from: "parameter" }
  | { readonly from: "nothing" }
  | { readonly from: "context"; readonly name: string }
  | { readonly from: "alias"; readonly slot: Slot };

/**
 * Maximum number of names copied for the branches of `if`s; published templates copy some hundreds.
 */
const MAX_WORK = 1_000_000;

/** The names of one scope. */
export class Symbols {
  readonly parent: Symbols | null;
  readonly func: Func;
  /** Slots of this scope by name, shared by all its copies. */
  readonly #slots: Map<string, Slot>;
  /** Remaining budget for copies, shared by all scopes of a template. */
  #work: { left: number };
  #refs = new Map<string, Slot>();
  loads = new Map<Slot, Load>();
  stores = new Set<string>();

  constructor(parent: Symbols | null, func: Func, slots = new Map<string, Slot>()) {
    this.#work = parent ? parent.#work : { left: MAX_WORK };
    this.parent = parent;
    this.func = func;
    this.#slots = slots;
  }

  find(name: string): Slot | undefined {
    return this.#refs.get(name) ?? this.parent?.find(name);
  }

  #define(name: string, load: Load): Slot {
    let slot = this.#slots.get(name);
    if (slot === undefined) {
      slot = this.func.slot();
      this.#slots.set(name, slot);
    }
    this.#refs.set(name, slot);
    this.loads.set(slot, load);
    return slot;
  }

  parameter(name: string): Slot {
    this.stores.add(name);
    return this.#define(name, { from: "parameter" });
  }

  #load(name: string): void {
    if (this.find(name) === undefined) this.#define(name, { from: "context", name });
  }

  #store(name: string): void {
    this.stores.add(name);
    if (this.#refs.has(name)) return;
    const outer = this.parent?.find(name);
    this.#define(name, outer === undefined ? { from: "nothing" } : { from: "alias", slot: outer });
  }

  #copy(): Symbols {
    this.#work.left -= this.#refs.size + this.loads.size + this.stores.size;
    if (this.#work.left < 0) throw new TemplateFault("it has too many variables in too many branches");
    const copy = new Symbols(this.parent, this.func, this.#slots);
    copy.#work = this.#work;
    copy.#refs = new Map(this.#refs);
    copy.loads = new Map(this.loads);
    copy.stores = new Set(this.stores);
    return copy;
  }

  /** Merges the effects of the branches of an `if`. */
  #merge(branches: readonly Symbols[]): void {
    const stored = new Set(branches.flatMap((branch) => [...branch.stores]).filter((name) => !this.stores.has(name)));
    for (const branch of branches) {
      for (const [name, slot] of branch.#refs) this.#refs.set(name, slot);
      for (const [slot, load] of branch.loads) this.loads.set(slot, load);
      for (const name of branch.stores) this.stores.add(name);
    }
    for (const name of stored) {
      const slot = this.find(name)!;
      const outer = this.parent?.find(name);
      this.loads.set(slot, outer === undefined ? { from: "context", name } : { from: "alias", slot: outer });
    }
  }

  /** Records the names that nodes use in this scope, without those of inner scopes. */
  visit(nodes: readonly (Node | null)[]): void {
    for (const node of nodes) if (node !== null) this.#visitOne(node);
  }

  target(target: Expression): void {
    if (target.type === "Tuple") for (const item of target.items) this.target(item);
    else if (target.type === "Name") this.parameter(target.name);
  }

  #visitOne(node: Node): void {
    switch (node.type) {
      case "Name":
        if (node.use === "param") this.parameter(node.name);
        else if (node.use === "store") this.#store(node.name);
        else this.#load(node.name);
        break;
      case "Member":
        this.#load(node.name);
        break;
      case "If": {
        this.#visitOne(node.test);
        const branches = [node.body, node.elifs, node.otherwise].map((body) => {
          const branch = this.#copy();
          branch.visit(body);
          return branch;
        });
        this.#merge(branches);
        break;
      }
      case "Macro":
        this.#store(node.name);
        break;
      case "Set":
        this.visit([node.value, node.target]);
        break;
      case "For":
        this.#visitOne(node.iterable);
        break;
      case "CallBlock":
        this.visit([node.call]);
        break;
      case "FilterBlock":
        this.#visitOne(node.filter);
        break;
      case "With":
        this.visit(node.values);
        break;
      case "SetBlock":
        this.#visitOne(node.target);
        break;
      case "Block":
      case "Autoescape":
        break;
      default:
        this.visit(childrenOf(node));
    }
  }
}

/** Which of these names are read in `nodes` (inner scopes included) before they are assigned. */
export function readFirst(nodes: readonly Node[], names: readonly string[]): ReadonlySet<string> {
  const open = new Set(names);
  const found = new Set<string>();
  const visit = (node: Node): void => {
    if (node.type === "Name") {
      if (node.use === "load" && open.has(node.name)) found.add(node.name);
      else open.delete(node.name);
    } else if (node.type !== "Block") for (const child of childrenOf(node)) visit(child);
  };
  for (const node of nodes) visit(node);
  return found;
}

/** All names that occur in `nodes`. */
export function namesIn(nodes: readonly Node[], found = new Set<string>()): Set<string> {
  for (const node of nodes) {
    if (node.type === "Name" || node.type === "Member") found.add(node.name);
    namesIn(childrenOf(node), found);
  }
  return found;
}

/** Whether any block is `scoped`, so that it sees the variables around it, such as `loop`. */
export function hasScopedBlock(nodes: readonly Statement[]): boolean {
  const visit = (node: Node): boolean => (node.type === "Block" && node.scoped) || childrenOf(node).some(visit);
  return nodes.some(visit);
}
