// Grammars of texts around JSON values: literal marks, values by a schema, and bare texts.

import { not } from "./dfa.ts";
import type { Document, Node } from "./document.ts";
import { somewhere } from "./look.ts";
import { sign } from "./parts.ts";
import type { Printed } from "./print.ts";
import { literal } from "./regex.ts";
import type { Term } from "./terms.ts";
import type { Written } from "./types.ts";
import { Values } from "./values.ts";

/**
 * Prints what is written around the values of a document.
 * @returns null if it derives no text
 */
export function writtenGrammar(document: Document, written: readonly Written[]): Printed | null {
  const values = new Values(document);
  const term = (one: Written): Term => {
    if ("text" in one) return one;
    if ("until" in one) return values.json.plain(not(somewhere(literal(one.until))));
    if ("any" in one) return { any: one.any.map((terms) => terms.map(term)) };
    if ("of" in one) return { of: one.of.map(term), min: one.min, max: one.max };
    const node = document.child(document.root, ...one.value) as Node | undefined;
    // Parts that were relaxed have no places inside them.
    if (node === undefined) return one.value.length > 2 ? values.json.value : values.json.object;
    return values.compile([sign(node, true)]);
  };
  values.rules.set("document", [written.map(term)]);
  return values.rules.print("document");
}
