// A norm in front of a product, where NORM is 1: y = sum of w x n / sqrt(mean(x^2) + eps). The root
// is a factor of the whole row, so that it need not be known before the sum is. Uses the kernel's
// `norm` and params.
fn normed(x: Eight, unit: u32) -> Eight {
  if (NORM == 1) {
    return Eight(x.lo * norm[unit * 2], x.hi * norm[unit * 2 + 1]);
  }
  return x;
}

fn norm_factor(squares: f32) -> f32 {
  if (NORM == 1) {
    return 1 / sqrt(squares / f32(p.D) + p.eps);
  }
  return 1;
}
