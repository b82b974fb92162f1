// A JSON value in words, for error messages.

/** A JSON value for an error message, shortened to fit a line. */
export function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "an object";
  if (typeof value === "number") return String(value); // JSON cannot express infinity
  return String(JSON.stringify(value)).slice(0, 80);
}
