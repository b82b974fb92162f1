// JSON as Python's json module reads and writes it: Mistral's models were trained on its spacing
// and number format.

/** Parsed JSON that keeps the order of keys and whether a number was written as a float. */
export type Json = null | boolean | string | PythonNumber | readonly Json[] | ReadonlyMap<string, Json>;

/** A number as `json.dumps` prints it. */
export class PythonNumber {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** Deeper texts count as not JSON. Python's own limit is near 1,000. */
const MAX_DEPTH = 256;

const WORD = /(?:null|true|false|NaN|Infinity|-Infinity|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SPACE = /[ \t\n\r]*/y;

/** `json.loads`, or undefined where Python raises. NaN and Infinity are accepted, as in Python. */
export function parsePythonJson(text: string): Json | undefined {
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    at += found?.length ?? 0;
    return found;
  };
  const skip = (character: string): boolean => {
    take(SPACE);
    if (text[at] !== character) return false;
    at++;
    return true;
  };
  const string = (): string => JSON.parse(take(STRING) ?? fail()) as string;
  const value = (depth: number): Json => {
    if (depth > MAX_DEPTH) fail();
    take(SPACE);
    if (text[at] === '"') return string();
    if (skip("[")) {
      const list: Json[] = [];
      if (skip("]")) return list;
      do list.push(value(depth + 1));
      while (skip(","));
      return skip("]") ? list : fail();
    }
    if (skip("{")) {
      const object = new Map<string, Json>();
      if (skip("}")) return object;
      do {
        take(SPACE);
        const key = string();
        if (!skip(":")) fail();
        object.set(key, value(depth + 1));
      } while (skip(","));
      return skip("}") ? object : fail();
    }
    return word(take(WORD) ?? fail());
  };
  try {
    const result = value(0);
    take(SPACE);
    return at === text.length ? result : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function fail(): never {
  throw new SyntaxError("not JSON");
}

function word(text: string): Json {
  if (text === "null") return null;
  if (text === "true" || text === "false") return text === "true";
  if (/^-?\d+$/.test(text)) return new PythonNumber(text === "-0" ? "0" : text);
  return new PythonNumber(pythonFloat(Number(text)));
}

/**
 * `json.dumps(value, ensure_ascii=False)` of plain JavaScript data or of a
 * result of parsePythonJson().
 */
export function pythonJson(value: unknown): string {
  if (value instanceof PythonNumber) return value.text;
  if (typeof value === "number")
    return Number.isInteger(value) && Math.abs(value) < 1e16 ? `${value}` : pythonFloat(value);
  if (value === null || value === undefined || typeof value !== "object") return JSON.stringify(value ?? null);
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(", ")}]`;
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  const members = entries.filter(([, member]) => member !== undefined);
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}: ${pythonJson(member)}`).join(", ")}}`;
}

/**
 * `repr` of a float: the shortest digits, always with a fraction; an exponent below 1e-4 and from
 * 1e16 on.
 */
export function pythonFloat(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
  if (Object.is(value, -0)) return "-0.0";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    const [digits, exponent] = value.toExponential().split("e") as [string, string];
    return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
  }
  const text = `${value}`;
  return text.includes(".") ? text : `${text}.0`;
}
