// Levels of few bits in a plane, as all formats order them, and from ggml's order to that.
//
// Everything is ordered so that a mask and a shift of a little-endian u32 element give consecutive
// levels as bytes:
// - Nibbles: element j holds weights 8j..8j+7; the low nibble of its byte b is weight 8j+b, the
//   high nibble is weight 8j+4+b. `element & 0x0f0f0f0f` is four levels, `(element >> 4) &
//   0x0f0f0f0f` the next four.
// - Two bits: element j holds weights 16j..16j+15; bits 2k and 2k+1 of its byte b are weight
//   16j+4k+b. `(element >> 2k) & 0x03030303` is four levels.
// - One bit: element j holds weights 32j..32j+31; bit k of its byte b is weight 32j+4k+b.
//   `(element >> k) & 0x01010101` is four levels.

/** Makes something when it is first asked for, and keeps it. */
export function once<T>(make: () => T): () => T {
  let made: { readonly it: T } | null = null;
  return () => {
    made ??= { it: make() };
    return made.it;
  };
}

/** The nibble of weight i. */
export function nibble(plane: Uint8Array, i: number): number {
  const byte = plane[(i >>> 3) * 4 + (i & 3)]!;
  return i & 4 ? byte >>> 4 : byte & 15;
}

/** The two bits of weight i. */
export function twoBits(plane: Uint8Array, i: number): number {
  return (plane[(i >>> 4) * 4 + (i & 3)]! >>> (((i >>> 2) & 3) * 2)) & 3;
}

/** The bit of weight i. */
export function oneBit(plane: Uint8Array, i: number): number {
  return (plane[(i >>> 5) * 4 + (i & 3)]! >>> ((i >>> 2) & 7)) & 1;
}

/** Writes 32 levels 0..15 as 16 bytes at `at`. */
export function packNibbles(from: Uint8Array, plane: Uint8Array, at: number): void {
  for (let j = 0; j < 4; j++)
    for (let b = 0; b < 4; b++) plane[at + 4 * j + b] = from[8 * j + b]! | (from[8 * j + 4 + b]! << 4);
}

/** Writes n levels 0..3, n a multiple of 16, as n / 4 bytes from the start. */
export function packTwoBits(from: Uint8Array, plane: Uint8Array): void {
  plane.fill(0);
  for (let i = 0; i < from.length; i++) plane[(i >>> 4) * 4 + (i & 3)]! |= from[i]! << (((i >>> 2) & 3) * 2);
}

/** Writes n levels 0..1, n a multiple of 32, as n / 8 bytes from the start. */
export function packOneBit(from: Uint8Array, plane: Uint8Array): void {
  plane.fill(0);
  for (let i = 0; i < from.length; i++) plane[(i >>> 5) * 4 + (i & 3)]! |= from[i]! << ((i >>> 2) & 7);
}

/**
 * Nibbles of ggml's `count` bytes at blocks[at], a multiple of 8: the low ones in order are the
 * weights from plane[low] on, the high ones those from plane[high] on.
 */
export function splitNibbles(
  blocks: Uint8Array,
  at: number,
  count: number,
  plane: Uint8Array,
  low: number,
  high: number,
): void {
  for (let j = 0; j < count; j += 8)
    for (let b = 0; b < 4; b++) {
      const first = blocks[at + j + b]!;
      const next = blocks[at + j + 4 + b]!;
      plane[low + (j >>> 1) + b] = (first & 15) | (next << 4);
      plane[high + (j >>> 1) + b] = (first >>> 4) | (next & 0xf0);
    }
}

/**
 * Two bits of 256 weights, ggml's 64 bytes at blocks[at], to as many at plane[to]. Of the first 32
 * bytes, bits 2k and 2k+1 of byte l are weight 32k+l; the other 32 are the next 128 weights.
 */
export function splitTwoBits(blocks: Uint8Array, at: number, plane: Uint8Array, to: number): void {
  for (let from = 0; from < 64; from += 16)
    for (let b = 0; b < 4; b++) {
      const i = at + from + b;
      const four = blocks[i]! | (blocks[i + 4]! << 8) | (blocks[i + 8]! << 16) | (blocks[i + 12]! << 24);
      const out = to + (from & 32) + ((from & 16) >>> 2) + b;
      for (let k = 0; k < 4; k++) {
        const bits = (four >>> (2 * k)) & 0x03030303;
        plane[out + 8 * k] = bits | (bits >>> 6) | (bits >>> 12) | (bits >>> 18);
      }
    }
}

/**
 * One bit of 256 weights, ggml's 32 bytes at blocks[at], to as many at plane[to]: bit k of byte l
 * is weight 32k+l.
 */
export function splitOneBit(blocks: Uint8Array, at: number, plane: Uint8Array, to: number): void {
  for (let b = 0; b < 4; b++) {
    const i = at + b;
    const low = blocks[i]! | (blocks[i + 4]! << 8) | (blocks[i + 8]! << 16) | (blocks[i + 12]! << 24);
    const high = blocks[i + 16]! | (blocks[i + 20]! << 8) | (blocks[i + 24]! << 16) | (blocks[i + 28]! << 24);
    for (let k = 0; k < 8; k++) {
      const one = (low >>> k) & 0x01010101;
      const two = (high >>> k) & 0x01010101;
      const nibbles = (one | (one >>> 7) | (one >>> 14) | (one >>> 21)) & 15;
      plane[to + 4 * k + b] = nibbles | ((two | (two >>> 7) | (two >>> 14) | (two >>> 21)) << 4);
    }
  }
}

/** One bit of 32 weights, ggml's word at blocks[at] whose bit i is weight i, to plane[to]. */
export function splitWord(blocks: Uint8Array, at: number, plane: Uint8Array, to: number): void {
  putOneBits(wordAt(blocks, at), plane, to);
}

/** One bit of 32 weights, bit i of a word that of weight i, to plane[to]. */
export function putOneBits(word: number, plane: Uint8Array, to: number): void {
  for (let b = 0; b < 4; b++) {
    let bits = (word >>> b) & 0x11111111;
    bits = (bits | (bits >>> 3)) & 0x03030303;
    bits = (bits | (bits >>> 6)) & 0x000f000f;
    plane[to + b] = bits | (bits >>> 12);
  }
}

/** The little-endian word of four bytes. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** Writes a word as four bytes. */
export function putWord(word: number, plane: Uint8Array, to: number): void {
  for (let b = 0; b < 4; b++) plane[to + b] = word >>> (8 * b);
}

/** `count` bytes of blocks[at] to plane[to]. */
export function splitBytes(blocks: Uint8Array, at: number, count: number, plane: Uint8Array, to: number): void {
  for (let i = 0; i < count; i++) plane[to + i] = blocks[at + i]!;
}

/** GgmlType.exponents of blocks with f16 at these bytes. */
export function halvesAt(...at: number[]): readonly (readonly [byte: number, bits: number])[] {
  return at.map((byte) => [byte + 1, 0x7c]);
}

/** A plane's numbers of two bytes: f16 bits, or others. */
export function words(plane: Uint8Array): Uint16Array {
  return new Uint16Array(plane.buffer, plane.byteOffset, plane.length / 2);
}

/** Writes 32 levels 0..31: 16 bytes of low bits from the start, 4 of high bits. */
export function packFive(from: Uint8Array, low: Uint8Array, high: Uint8Array): void {
  packNibbles(
    from.map((u) => u & 15),
    low,
    0,
  );
  packOneBit(
    from.map((u) => u >>> 4),
    high,
  );
}
