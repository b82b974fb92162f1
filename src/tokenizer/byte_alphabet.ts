// The alphabet of GPT-2's byte-level tokenizers: 256 printable characters, one for each byte.

/**
 * The character of each byte: printable Latin-1 stands for itself, other bytes for U+0100 and up,
 * in order.
 */
export const BYTE_TO_CHARACTER: readonly string[] = (() => {
  const table: string[] = [];
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    table.push(String.fromCharCode(printable ? byte : next++));
  }
  return table;
})();

const CHARACTER_TO_BYTE: ReadonlyMap<string, number> = new Map(BYTE_TO_CHARACTER.map((c, byte) => [c, byte]));

/** Spells bytes in the alphabet. */
export function spellBytes(bytes: Iterable<number>): string {
  let text = "";
  for (const byte of bytes) text += BYTE_TO_CHARACTER[byte];
  return text;
}

/** The bytes that a piece spells; a character outside the alphabet stands for its own UTF-8. */
export function spelledBytes(piece: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of piece) {
    const byte = CHARACTER_TO_BYTE.get(character);
    if (byte !== undefined) bytes.push(byte);
    else bytes.push(...new TextEncoder().encode(character));
  }
  return Uint8Array.from(bytes);
}
