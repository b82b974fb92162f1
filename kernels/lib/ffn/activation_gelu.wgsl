// gelu(g) u = g (1 + erf(g / sqrt(2))) / 2 u; erfc as in kernels/activate.ts.
fn erfc(x: f32) -> f32 {
  let t = 1 / (1 + 0.5 * abs(x));
  var s = 0.17087277;
  s = s * t - 0.82215223;
  s = s * t + 1.48851587;
  s = s * t - 1.13520398;
  s = s * t + 0.27886807;
  s = s * t - 0.18628806;
  s = s * t + 0.09678418;
  s = s * t + 0.37409196;
  s = s * t + 1.00002368;
  s = s * t - 1.26551223;
  let y = t * exp(s - x * x);
  return select(2 - y, y, x >= 0);
}

fn gated(g: f32, u: f32) -> f32 {
  return g * (1 - 0.5 * erfc(g * 0.70710678)) * u;
}
