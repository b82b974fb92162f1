// Entries of codebooks and their signs, bit for bit what formats/signed_codebook.ts and
// two_bit_codebook.ts make.

/** Entry i of a codebook. */
// @ts-ignore: decorator
@inline export function entryOf(book: usize, i: u32): u32 {
  return load<u32>(book + 4 * <usize>i);
}

/** Signs of eight weights: seven bits, and an eighth that makes the number of minuses even. */
// @ts-ignore: decorator
@inline export function signsOf(seven: u32): u32 {
  return seven | ((popcnt<u32>(seven) & 1) << 7);
}

/** Four bits as the lowest of a word's bytes. */
// @ts-ignore: decorator
@inline function eachByte(bits: u32): u32 {
  return (bits * 0x00204081) & 0x01010101;
}

/** Eight codes of four bits: two entries and eight signs. */
// @ts-ignore: decorator
@inline export function codesOf(first: u32, next: u32, signs: u32): u32 {
  return first | (next << 4) | (eachByte(signs & 15) << 3) | (eachByte(signs >>> 4) << 7);
}

/** Writes two entries of eight weights. */
// @ts-ignore: decorator
@inline export function putSixteen(first: u32, next: u32, to: usize): void {
  store<u32>(to, first | (next << 4));
}
