// What a format without int8 products says of them: see planes.simd.ts.

export const INT8: bool = false;
export const WIDE: bool = false;
export const OFFSETS: bool = false;
export const EXACT: bool = true;

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
