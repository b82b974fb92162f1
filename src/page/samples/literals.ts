// Values as literals of Python and JavaScript.

const STEP = "    ";

/** JSON's value as a Python literal. Texts are JSON's, which Python reads as they are. */
export function python(value: unknown, indent = ""): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = indent + STEP;
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    return `[\n${value.map((one) => `${inner}${python(one, inner)},\n`).join("")}${indent}]`;
  }
  const entries = Object.entries(value);
  if (entries.length === 0) return "{}";
  const lines = entries.map(([name, one]) => `${inner}${JSON.stringify(name)}: ${python(one, inner)},\n`);
  return `{\n${lines.join("")}${indent}}`;
}

/** The arguments of a call in Python, a line each: "    model=...,". */
export function pythonArguments(fields: object): string {
  return Object.entries(fields)
    .map(([name, value]) => `${STEP}${name}=${python(value, STEP)},\n`)
    .join("");
}

/** JSON's value as a JavaScript literal. */
export function javascript(value: unknown, indent = ""): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "undefined";
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    return `[\n${value.map((one) => `${inner}${javascript(one, inner)},\n`).join("")}${indent}]`;
  }
  const entries = Object.entries(value).filter(([, one]) => one !== undefined);
  if (entries.length === 0) return "{}";
  const lines = entries.map(([name, one]) => `${inner}${key(name)}: ${javascript(one, inner)},\n`);
  return `{\n${lines.join("")}${indent}}`;
}

/** Written as a plain key, __proto__ would set the prototype. */
function key(name: string): string {
  if (name === "__proto__") return '["__proto__"]';
  return /^[a-z_$][\w$]*$/i.test(name) ? name : JSON.stringify(name);
}
