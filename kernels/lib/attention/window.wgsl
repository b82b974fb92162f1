// Which positions a token attends to. Uses the kernel's params.

// The first position seen from `position`: key j is seen iff 0 <= position - j < window; a window
// of 0 sees them all.
fn window_begin(position: u32) -> u32 {
  return select(0, position + 1 - min(position + 1, p.window), p.window > 0);
}
