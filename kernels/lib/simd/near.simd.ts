// Loads at constant distances from an address. A distance that is no literal is added to the
// address first, and V8 then does not see that two loads are neighbours.

/** 16 bytes at p + 16 i, i a constant of 0 .. 15. */
// @ts-ignore: decorator
@inline export function vectorAt(p: usize, i: usize): v128 {
  if (i < 8) {
    if (i < 4) {
      if (i < 2) {
        if (i < 1) return v128.load(p);
        return v128.load(p, 16);
      }
      if (i < 3) return v128.load(p, 32);
      return v128.load(p, 48);
    }
    if (i < 6) {
      if (i < 5) return v128.load(p, 64);
      return v128.load(p, 80);
    }
    if (i < 7) return v128.load(p, 96);
    return v128.load(p, 112);
  }
  if (i < 12) {
    if (i < 10) {
      if (i < 9) return v128.load(p, 128);
      return v128.load(p, 144);
    }
    if (i < 11) return v128.load(p, 160);
    return v128.load(p, 176);
  }
  if (i < 14) {
    if (i < 13) return v128.load(p, 192);
    return v128.load(p, 208);
  }
  if (i < 15) return v128.load(p, 224);
  return v128.load(p, 240);
}

/** The word at p + 4 i in all lanes, i a constant of 0 .. 15. */
// @ts-ignore: decorator
@inline export function wordAt(p: usize, i: i32): v128 {
  if (i < 8) {
    if (i < 4) {
      if (i < 2) {
        if (i < 1) return v128.load32_splat(p);
        return v128.load32_splat(p, 4);
      }
      if (i < 3) return v128.load32_splat(p, 8);
      return v128.load32_splat(p, 12);
    }
    if (i < 6) {
      if (i < 5) return v128.load32_splat(p, 16);
      return v128.load32_splat(p, 20);
    }
    if (i < 7) return v128.load32_splat(p, 24);
    return v128.load32_splat(p, 28);
  }
  if (i < 12) {
    if (i < 10) {
      if (i < 9) return v128.load32_splat(p, 32);
      return v128.load32_splat(p, 36);
    }
    if (i < 11) return v128.load32_splat(p, 40);
    return v128.load32_splat(p, 44);
  }
  if (i < 14) {
    if (i < 13) return v128.load32_splat(p, 48);
    return v128.load32_splat(p, 52);
  }
  if (i < 15) return v128.load32_splat(p, 56);
  return v128.load32_splat(p, 60);
}
