// Whether the engine makes 256 bits of two neighbouring operations of 128 (V8 with a flag, on x86).
//
// It then takes long pieces of code without a branch. Elsewhere those are slow: V8 loads all that a
// piece takes before it computes, and what has no register waits in memory, so loops are short.

/** A word of every memory that says so: 1, else 0. The caller writes it. */
const WIDE: usize = 1016;

/** Where that word is. */
export function wideAt(): usize {
  return WIDE;
}

// @ts-ignore: decorator
@inline export function isWide(): bool {
  return load<u32>(WIDE) != 0;
}
