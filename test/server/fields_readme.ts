// The table of request fields as the server's README has it.

import type { FieldRow } from "../../src/server/request_fields.ts";

/** Rows of a Markdown table, those of one kind after the other. */
export function fieldsTable(rows: readonly FieldRow[]): string {
  const lines = rows.map(({ names, on, kind, note, off = [] }) => {
    const values = off.map((value) => `\`${JSON.stringify(value)}\``).join(", ");
    const but = values === "" ? "" : ` (${values}: off)`;
    return `| ${names.map((name) => `\`${name}\``).join(" ")} | ${on.join(", ")} | ${kind} | ${note}${but} |`;
  });
  return ["| fields | endpoints | | what they do, or what to use instead |", "|---|---|---|---|", ...lines].join("\n");
}
