// The tuner's choices in words, for people.

/**
 * What was found for a problem: "int8 tree 64x8" is arithmetic, reduction, and invocations of a
 * workgroup x teams.
 */
export function variantInWords(found: unknown): string {
  if (typeof found === "string") return found;
  if (typeof found !== "object" || found === null) return JSON.stringify(found);
  const parts = Object.entries(found);
  const { arithmetic, reduce, threads, teams } = found as Readonly<Record<string, unknown>>;
  if (arithmetic === undefined) return parts.map(([name, part]) => `${name} ${variantInWords(part)}`).join(", ");
  return `${arithmetic} ${reduce} ${threads}x${teams}`;
}
