// What a format exports for what it does not have: see planes.simd.ts.

export const INT8: bool = false;
export const BITS: i32 = 8;
export const LOW: u32 = 0;
export const NIBBLES: bool = false;
export const HIGH: bool = false;
export const CENTER: i32 = 0;
export const SIXTEENS: bool = false;
export const OFFSETS: bool = false;
export const SUPER: bool = false;
export const EXACT: bool = true;
export const FUSED: bool = false;

// @ts-ignore: decorator
@inline export function column(w: v128, i: i32): v128 {
  return w;
}

// @ts-ignore: decorator
@inline export function other(): v128 {
  return i32x4.splat(0);
}

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return w;
}

// @ts-ignore: decorator
@inline export function pairs4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return i32x4.splat(0);
}

// @ts-ignore: decorator
@inline export function supers4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return f32x4.splat(1);
}

// @ts-ignore: decorator
@inline export function scale4(pairs: v128, supers: v128, g: usize): v128 {
  return supers;
}

// @ts-ignore: decorator
@inline export function offset4(pairs: v128, supers: v128, g: usize): v128 {
  return f32x4.splat(0);
}

// @ts-ignore: decorator
@inline export function superScale4(supers: v128): v128 {
  return supers;
}

// @ts-ignore: decorator
@inline export function superOffset4(supers: v128): v128 {
  return supers;
}

// @ts-ignore: decorator
@inline export function scale32(pairs: v128, g: usize, byte: v128): v128 {
  return pairs;
}

// @ts-ignore: decorator
@inline export function scales16(pairs: v128): v128 {
  return pairs;
}

// @ts-ignore: decorator
@inline export function minimums16(pairs: v128): v128 {
  return pairs;
}
