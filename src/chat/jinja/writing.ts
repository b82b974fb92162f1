// Types of compiled statements: functions that write output and return how they ended.

import type { Run } from "./bounds.ts";
import type { Frame } from "./expressions.ts";
import type { Node, Statement } from "./nodes.ts";
import type { Locals } from "./scope.ts";
import { joined } from "./show.ts";
import { Symbols } from "./symbols.ts";
import type { Str } from "./text.ts";

/** How a statement ended: normally, or by `break` or `continue`. */
export type End = "done" | "break" | "continue";
export type Execute = (run: Run, at: Locals, out: Str[]) => End;
/** Compiles the body of a statement. */
export type Compile = (nodes: readonly Statement[], frame: Frame) => Execute;

/** A new scope within the same function. */
export function scope(frame: Frame, nodes: readonly Node[], more: Partial<Frame>): Frame {
  const symbols = new Symbols(frame.symbols, frame.symbols.func);
  symbols.visit(nodes);
  return { ...frame, symbols, top: false, ...more };
}

/** Runs a body and returns its output separately. */
export function captured(run: Run, at: Locals, write: Execute): { readonly text: Str; readonly end: End } {
  const out: Str[] = [];
  const end = write(run, at, out);
  return { text: joined(run, out), end };
}
