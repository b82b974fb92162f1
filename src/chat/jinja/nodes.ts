// The syntax tree of a template. Fields are in the order in which Jinja2 visits them: its scopes
// depend on it.

import type { Value } from "./values.ts";

export interface Arguments {
  readonly args: readonly Expression[];
  readonly keywords: readonly { readonly type: "Keyword"; readonly name: string; readonly value: Expression }[];
  readonly rest: Expression | null;
  readonly restKeywords: Expression | null;
}

/** How a name is used: read, assigned, or as a parameter. */
export type NameUse = "load" | "store" | "param";

export interface Name {
  readonly type: "Name";
  readonly line: number;
  readonly name: string;
  use: NameUse;
}
export interface Call extends Arguments {
  readonly type: "Call";
  readonly line: number;
  readonly callee: Expression;
}
/** `input` is null in a filter block. */
export interface Filter extends Arguments {
  readonly type: "Filter";
  readonly line: number;
  readonly input: Expression | null;
  readonly name: string;
}
interface At {
  readonly line: number;
}
export type Expression =
  | Name
  | Call
  | Filter
  | (Arguments & At & { readonly type: "Test"; readonly input: Expression; readonly name: string })
  | (At & { readonly type: "Const"; readonly value: Value })
  /** An attribute of a namespace as the target of an assignment. */
  | (At & { readonly type: "Member"; readonly name: string; readonly attribute: string })
  | (At & { readonly type: "List" | "Tuple"; readonly items: readonly Expression[] })
  | (At & { readonly type: "Dict"; readonly keys: readonly Expression[]; readonly values: readonly Expression[] })
  | (At & {
      readonly type: "Binary";
      readonly operator: string;
      readonly left: Expression;
      readonly right: Expression;
    })
  | (At & { readonly type: "Unary"; readonly operator: "not" | "-" | "+"; readonly operand: Expression })
  | (At & { readonly type: "Concat"; readonly parts: readonly Expression[] })
  | (At & {
      readonly type: "Compare";
      readonly first: Expression;
      readonly operators: readonly string[];
      readonly others: readonly Expression[];
    })
  | (At & {
      readonly type: "Condition";
      readonly test: Expression;
      readonly value: Expression;
      readonly otherwise: Expression | null;
    })
  | (At & { readonly type: "Attribute"; readonly object: Expression; readonly name: string })
  | (At & { readonly type: "Item"; readonly object: Expression; readonly index: Expression })
  | (At & {
      readonly type: "Slice";
      readonly start: Expression | null;
      readonly stop: Expression | null;
      readonly step: Expression | null;
    });

/** Literal text of the template. */
export interface Data {
  readonly type: "Data";
  readonly line: number;
  readonly text: string;
}
export interface If {
  readonly type: "If";
  readonly line: number;
  readonly test: Expression;
  readonly body: readonly Statement[];
  readonly elifs: readonly If[];
  readonly otherwise: readonly Statement[];
}
export interface For {
  readonly type: "For";
  readonly line: number;
  readonly target: Expression;
  readonly iterable: Expression;
  readonly body: readonly Statement[];
  readonly otherwise: readonly Statement[];
  readonly test: Expression | null;
  readonly recursive: boolean;
}
export interface Macro {
  readonly type: "Macro";
  readonly line: number;
  readonly name: string;
  readonly params: readonly Name[];
  readonly defaults: readonly Expression[];
  readonly body: readonly Statement[];
}
/** `call` is null for {% generation %}, which writes its body once. */
export interface CallBlock {
  readonly type: "CallBlock";
  readonly line: number;
  readonly call: Call | null;
  readonly params: readonly Name[];
  readonly defaults: readonly Expression[];
  readonly body: readonly Statement[];
}
export interface Block {
  readonly type: "Block";
  readonly line: number;
  readonly name: string;
  readonly scoped: boolean;
  readonly body: readonly Statement[];
}
export interface With {
  readonly type: "With";
  readonly line: number;
  readonly targets: readonly Expression[];
  readonly values: readonly Expression[];
  readonly body: readonly Statement[];
}
export interface SetBlock {
  readonly type: "SetBlock";
  readonly line: number;
  readonly target: Expression;
  readonly filter: Filter | null;
  readonly body: readonly Statement[];
}
export type Statement =
  | If
  | For
  | Macro
  | CallBlock
  | Block
  | With
  | SetBlock
  | (At & { readonly type: "Output"; readonly parts: readonly (Data | Expression)[] })
  | (At & { readonly type: "Set"; readonly target: Expression; readonly value: Expression })
  | (At & { readonly type: "FilterBlock"; readonly body: readonly Statement[]; readonly filter: Filter })
  | (At & { readonly type: "Autoescape"; readonly on: Expression; readonly body: readonly Statement[] })
  /**
   * A statement that needs another template: extends, include, import, from. `targets` are the
   * names it would define.
   */
  | (At & { readonly type: "OtherTemplate"; readonly tag: string; readonly targets: readonly Name[] })
  | (At & { readonly type: "Break" | "Continue" });

export type Node = Expression | Statement | Data | { readonly type: "Keyword"; readonly value: Expression };

/** The child nodes, in order. */
export function childrenOf(node: Node): readonly Node[] {
  const children: Node[] = [];
  for (const field of Object.values(node) as unknown[]) {
    if (Array.isArray(field)) children.push(...(field as unknown[]).filter(isNode));
    else if (isNode(field)) children.push(field);
  }
  return children;
}

/** Tells nodes from the values of constants, none of which has a property `type`. */
function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value;
}
