// Regular expressions from strangers: a backtracking matcher takes exponential time on some, so that only a bounded kind is run.

/** Characters of a pattern. */
const MAX_PATTERN = 1_000;
/** Steps that matching may take, by the estimate below: a second of a slow machine at most. */
const MAX_STEPS = 1e8;
/** A pattern that can be matched only against shorter texts than this is of no use. */
const MIN_TEXT = 64;

/**
 * A pattern with a bound on the length of texts, from an upper bound on the ways in which it can match: every repetition without an end may stop
 * anywhere, every other choice multiplies. Repeated groups, look-around and back references have no such bound.
 * @throws Error for a pattern that cannot be bounded, and later for a text that is too long
 */
export function boundedPattern(source: string, flags: string): { test(text: string): boolean } {
  const most = source.length > MAX_PATTERN ? 0 : longestText(source);
  if (most < MIN_TEXT) {
    throw new Error(
      `pattern ${JSON.stringify(source.slice(0, 80))}: expected one that is surely fast (no repeated groups, look-around or back references, few repetitions)`,
    );
  }
  const pattern = new RegExp(source, flags);
  return {
    test(text) {
      if (text.length > most)
        throw new RangeError(`a text with a pattern has ${text.length} characters, more than ${most}`);
      return pattern.test(text);
    },
  };
}

/** How long a text may be for a match to stay within MAX_STEPS; 0 where nothing can be said. */
function longestText(source: string): number {
  // Escapes and classes are one character each, whatever they hold.
  const bare = source.replace(/\\[^1-9k]|\[(?:[^\]\\]|\\.)*\]/g, "x");
  if (/\\|\(\?(?!:)|\)(?:[*+]|\{)/.test(bare)) return 0;
  const plain = bare.replaceAll("(?:", "(");
  const groups = Math.max(1, plain.split("(").length - 1);
  // Alternatives multiply across groups and add within one; spread evenly they are most.
  let choices = (1 + (plain.split("|").length - 1) / groups) ** groups;
  let open = plain.startsWith("^") && !plain.includes("|") ? 0 : 1;
  for (const [, symbol, least, most] of plain.matchAll(/([*+?])|\{(\d+)(?:,(\d*))?\}/g)) {
    if (symbol === "?") choices *= 2;
    else if (symbol !== undefined || most === "") open++;
    else if (most !== undefined) choices *= 1 + Number(most) - Number(least);
  }
  return Math.floor(open === 0 ? MAX_STEPS / choices : (MAX_STEPS / choices) ** (1 / open));
}
