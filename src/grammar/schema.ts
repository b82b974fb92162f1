// From JSON Schema to a grammar. Every text of the grammar is valid; keywords that cannot be
// enforced are rejected by name.

import { RequestError } from "../errors.ts";
import { Document } from "./document.ts";
import { sign } from "./parts.ts";
import type { Printed } from "./print.ts";
import { Values } from "./values.ts";

/** A grammar, and sentences about the parts of the schema that constrain nothing. */
export interface SchemaGrammar extends Printed {
  readonly warnings: readonly string[];
}

/**
 * The grammar of the values that a schema allows (draft 2020-12; 2019-09, 7, 6 or 4 where
 * `$schema` says so). Members come in the order of the schema; members that no keyword mentions
 * are not written.
 * @throws RequestError that names a keyword that is not supported and its place; and for schemas
 * that no value meets
 */
export function schemaGrammar(schema: unknown): SchemaGrammar {
  const document = new Document(schema);
  const values = new Values(document);
  const root = values.compile([sign(document.root, true)]);
  values.rules.set("document", [[root]]);
  const printed = values.rules.print("document");
  if (printed === null)
    throw new RequestError(
      "json_schema: found no value that meets this schema: its keywords contradict each other, or only values that are not written (numbers of more than 15 digits, arrays that must have equal items) meet it",
    );
  return { ...printed, warnings: [...document.warnings, ...values.warnings] };
}
