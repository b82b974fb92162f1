// Long texts in pieces that are blocks of their own.

/** Characters of a piece. */
const PIECE = 8000;

/**
 * A text in pieces of 8000 characters or fewer, cut behind the last line that fits; the line's end
 * is left to the block. A longer line is cut within. While a text grows, all pieces but the last
 * stay.
 */
export function piecesOf(text: string): readonly string[] {
  const pieces: string[] = [];
  let from = 0;
  while (text.length - from > PIECE) {
    const line = text.lastIndexOf("\n", from + PIECE);
    const cut = line > from ? line : from + PIECE - (isHigh(text.charCodeAt(from + PIECE - 1)) ? 1 : 0);
    pieces.push(text.slice(from, cut));
    from = cut === line ? cut + 1 : cut;
  }
  pieces.push(text.slice(from));
  return pieces;
}

/** The first half of a character. */
function isHigh(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00;
}
