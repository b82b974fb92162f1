// The formats of JSON Schema as expressions: what is written in them is valid, though not all that is valid is written.

import { parseRegex, type Regex } from "./regex.ts";

const OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const DATE =
  "[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))";
const TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";
const LABEL = "[a-zA-Z0-9]([a-zA-Z0-9]|-[a-zA-Z0-9]){0,20}";
const HOST = `${LABEL}(\\.${LABEL}){0,3}`;

const FORMATS: ReadonlyMap<string, string> = new Map([
  ["date", DATE],
  ["time", TIME],
  ["date-time", `${DATE}T${TIME}`],
  ["email", `[a-zA-Z0-9_+-]+(\\.[a-zA-Z0-9_+-]+)*@${HOST}`],
  ["hostname", HOST],
  ["ipv4", `${OCTET}(\\.${OCTET}){3}`],
  ["ipv6", "[0-9a-fA-F]{1,4}(:[0-9a-fA-F]{1,4}){7}"],
  ["uuid", "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"],
  ["uri", `https?://${HOST}(:[1-9][0-9]{0,3})?(/[a-zA-Z0-9._~-]*)*`],
]);

/** What a format is written as; null for one that is not known. */
export function formatRegex(format: string): Regex | null {
  const found = FORMATS.get(format);
  return found === undefined ? null : parseRegex(found);
}
