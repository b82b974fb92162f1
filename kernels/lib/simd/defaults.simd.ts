// What a format exports for what it does not have: see planes.simd.ts.

export const INT8: bool = false;
export const WIDE: bool = false;
export const OFFSETS: bool = false;
export const EXACT: bool = true;
export const FUSED: bool = false;

// @ts-ignore: decorator
@inline export function column(w: v128, i: i32): v128 {
  return w;
}

// @ts-ignore: decorator
@inline export function first(sum: i32): i32 {
  return sum;
}

// @ts-ignore: decorator
@inline export function scale4(s: usize, d: usize, g: usize, half: usize): v128 {
  return f32x4.splat(1);
}

// @ts-ignore: decorator
@inline export function offset4(s: usize, d: usize, g: usize, half: usize): v128 {
  return f32x4.splat(0);
}
