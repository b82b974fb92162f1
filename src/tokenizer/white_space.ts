// White space as Unicode and the reference tokenizers have it: JavaScript's own trim() takes U+FEFF for it, and not U+0085.

const WHITE = /^\p{White_Space}$/u;

/** Whether a character (a UTF-16 unit: all white space is one) is white space. */
export function isWhite(unit: string): boolean {
  return WHITE.test(unit);
}

export function trimStart(text: string): string {
  let start = 0;
  while (start < text.length && isWhite(text[start]!)) start++;
  return text.slice(start);
}

export function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isWhite(text[end - 1]!)) end--;
  return text.slice(0, end);
}
