// White space as in Unicode and the reference tokenizers: JavaScript's trim() includes U+FEFF and
// lacks U+0085.

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
