// For products without a norm in front.
const NORM = 0u;

fn normed(x: Eight, unit: u32) -> Eight {
  return x;
}

fn norm_factor(squares: f32) -> f32 {
  return 1;
}
