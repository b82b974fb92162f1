// The table of ggml's IQ4 types.

/** The values of codes, and 128 each. */
// @ts-ignore: decorator
@inline export function iq4Table(): v128 {
  return i8x16(1, 24, 45, 63, 79, 93, 106, 118, -127, -115, -103, -90, -75, -59, -39, -15);
}
