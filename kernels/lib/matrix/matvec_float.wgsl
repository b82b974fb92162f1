// Eight rows of weights times one row of activations by a team of TEAM invocations, which stride
// over the columns: the body of the matrix-vector kernels. With NORM = 1 activations are normed on
// the way: y = sum of w x n / sqrt(mean(x^2) + eps), where the root is a factor of the whole row,
// so that it need not be known before the sum is. Uses the kernel's `norm` and params.
#import "lib/matrix/products.wgsl"
#import "lib/team/team.wgsl"

// Rows `row` .. `row + 7` of an expert, row a multiple of 8, times row `t` of x.
fn rows8(expert: u32, row: u32, t: u32, lane: Lane) -> Rows8 {
  var sum = Sums();
  let start = t * part.groups * 8;
  for (var unit = lane.index % TEAM * SPAN; unit < part.groups * 4; unit += TEAM * SPAN) {
    var us: array<Unit, SPAN>;
    for (var k = 0u; k < SPAN; k++) {
      let i = (unit + k) * 2;
      var u = Eight(x[start + i], x[start + i + 1]);
      if (NORM == 1) {
        sum.squares += dot(u.lo, u.lo) + dot(u.hi, u.hi);
        u = Eight(u.lo * norm[i], u.hi * norm[i + 1]);
      }
      us[k] = unit_of(u);
    }
    let product = products(expert, row, unit, us);
    sum.rows.lo += product.lo;
    sum.rows.hi += product.hi;
  }
  sum = team_sum(sum, lane);
  var scale = UNIT_SCALE;
  if (NORM == 1) {
    scale /= sqrt(sum.squares / f32(p.D) + p.eps);
  }
  return Rows8(sum.rows.lo * scale, sum.rows.hi * scale);
}
