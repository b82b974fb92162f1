// Eight rows of weights times one row of int8 activations by a team of TEAM invocations, which
// stride over the columns: the body of the matrix-vector kernels. Activations are normed before
// they are rounded (quantize.wgsl): NORM is 0.
#import "lib/matrix/products.wgsl"
#import "lib/team/team.wgsl"

// Rows `row` .. `row + 7` of an expert, row a multiple of 8, times row `t` of x.
fn rows8(expert: u32, row: u32, t: u32, lane: Lane) -> Rows8 {
  var sum = Sums();
  for (var unit = lane.index % TEAM; unit < part.groups * 4; unit += TEAM) {
    let product = products(expert, row, unit, unit_at(t, unit));
    sum.rows.lo += product.lo;
    sum.rows.hi += product.hi;
  }
  return team_sum(sum, lane).rows;
}
