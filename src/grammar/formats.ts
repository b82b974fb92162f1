// The formats of JSON Schema and OpenAPI as expressions: all texts that match are valid, but not
// all valid texts match.

import type { Dfa } from "./dfa.ts";
import { whole } from "./nfa.ts";
import { numbers } from "./numbers.ts";
import { parseRegex } from "./regex.ts";

const OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const YEAR = "([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])";
const LEAP = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)";
const DATE = `(${YEAR}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|${LEAP}-02-29)`;
const TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";

const HOURS = "([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S)";
const DAYS = "([0-9]+D)";
const MONTHS = `([0-9]+M${DAYS}?)`;
const DURATION = `P((${DAYS}|${MONTHS}|[0-9]+Y${MONTHS}?)(T${HOURS})?|T${HOURS}|[0-9]+W)`;

const LABEL = "[a-zA-Z0-9]([a-zA-Z0-9]|-[a-zA-Z0-9]){0,20}";
const HOST = `${LABEL}(\\.${LABEL}){0,3}`;
const DOMAIN = `(${LABEL}\\.){1,3}[a-zA-Z]{2,20}`;
const MAIL = `[a-zA-Z0-9_+-]+(\\.[a-zA-Z0-9_+-]+)*@${DOMAIN}`;

const HEX = "[0-9a-fA-F]{1,4}";
const IPV6 = [
  `(${HEX}:){7}${HEX}`,
  `(${HEX}:){1,7}:`,
  ...[6, 5, 4, 3, 2, 1].map((n) => `(${HEX}:){1,${n}}(:${HEX}){1,${7 - n}}`),
  `:(:${HEX}){1,7}`,
  "::",
].join("|");

// RFC 3986, without IP addresses in brackets and without user names before an "@".
const ESCAPED = "%[0-9a-fA-F]{2}";
const SEGMENT = "[a-zA-Z0-9._~!$&'()*+,;=:@-]";
const PATH = `(/(${SEGMENT}|${ESCAPED})*)*`;
const TAIL = `(\\?(${SEGMENT}|[/?]|${ESCAPED})*)?(#(${SEGMENT}|[/?]|${ESCAPED})*)?`;
const AUTHORITY = `//${HOST}(:[1-9][0-9]{0,3})?`;
const ROOTLESS = `(${SEGMENT}|${ESCAPED})+${PATH}`;
const URI = `[a-zA-Z][a-zA-Z0-9+.-]*:(${AUTHORITY}${PATH}|${ROOTLESS})${TAIL}`;
const RELATIVE = `(${AUTHORITY}${PATH}|(/((${SEGMENT}|${ESCAPED})+${PATH})?)?|[a-zA-Z0-9._~-]+${PATH})${TAIL}`;
const VARIABLE = "[a-zA-Z0-9_]+(\\.[a-zA-Z0-9_]+)*(:[1-9][0-9]{0,2}|\\*)?";
const TEMPLATE = `([a-zA-Z0-9._~!$&()*+,;=:@/?#-]|${ESCAPED}|\\{[+#./;?&]?${VARIABLE}(,${VARIABLE})*\\})*`;

const POINTER = "(/([^/~]|~[01])*)*";
const ATOM = "([a-zA-Z0-9_ ,:;@#%&=<>/-]|\\\\[dDwWsS.]|\\.|\\[\\^?([a-z0-9_]|a-z|A-Z|0-9)+\\])[*+?]?";
const EXPRESSION = `\\^?(${ATOM}|\\((${ATOM})+(\\|(${ATOM})+)*\\)[*+?]?)*\\$?`;

const FORMATS: ReadonlyMap<string, string> = new Map([
  ["date", DATE],
  ["time", TIME],
  ["iso-time", TIME],
  ["date-time", `${DATE}T${TIME}`],
  ["iso-date-time", `${DATE}T${TIME}`],
  ["duration", DURATION],
  ["email", MAIL],
  ["idn-email", MAIL],
  ["hostname", HOST],
  ["idn-hostname", HOST],
  ["ipv4", `${OCTET}(\\.${OCTET}){3}`],
  ["ipv6", IPV6],
  ["uuid", "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"],
  ["uri", URI],
  ["iri", URI],
  ["url", `https?://${DOMAIN}(:[1-9][0-9]{1,3})?${PATH}${TAIL}`],
  ["uri-reference", `(${URI}|${RELATIVE})`],
  ["iri-reference", `(${URI}|${RELATIVE})`],
  ["uri-template", TEMPLATE],
  ["json-pointer", POINTER],
  ["relative-json-pointer", `(0|[1-9][0-9]{0,5})(#|${POINTER})`],
  ["json-pointer-uri-fragment", `#(/([a-zA-Z0-9_.!$&'()*+,;:=@-]|${ESCAPED}|~[01])*)*`],
  ["regex", EXPRESSION],
  ["byte", "([a-zA-Z0-9+/]{4})*([a-zA-Z0-9+/]{2}==|[a-zA-Z0-9+/]{3}=)?"],
]);
/** Formats of numbers, and formats that no grammar can enforce. */
const OTHERS = new Set(["int32", "int64", "float", "double", "password", "binary"]);

const known = new Map<string, Dfa | null>();

export function isFormat(format: string): boolean {
  return FORMATS.has(format) || OTHERS.has(format);
}

/** The texts that are written for a format; null for any text. */
export function formatDfa(format: string): Dfa | null {
  const found = known.get(format);
  if (found !== undefined) return found;
  const pattern = FORMATS.get(format);
  const dfa = pattern === undefined ? null : whole(parseRegex(pattern));
  if (pattern !== undefined) known.set(format, dfa);
  return dfa;
}

/** The numbers that are written for a format; null for any number. */
export function numberFormatDfa(format: string): Dfa | null {
  if (format !== "int32" && format !== "int64") return null;
  const found = known.get(format);
  if (found !== undefined) return found;
  const limits = [
    { kind: "least", value: -(2 ** 31), open: false },
    { kind: "most", value: 2 ** 31 - 1, open: false },
  ] as const;
  const dfa = numbers([{ kind: "integer", is: true }, ...(format === "int32" ? limits : [])]);
  known.set(format, dfa);
  return dfa;
}
