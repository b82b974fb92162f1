// Eight rows of weights times one row of activations by a team of TEAM invocations, which stride
// over the columns: the body of the matrix-vector kernels. Uses the kernel's AT_ONCE: of how many
// places (1 or 2) an invocation asks for columns before it multiplies those of the first.
#import "lib/matrix/products.wgsl"
#import "lib/team/team.wgsl"

// `start` and `weight` times what an invocation adds to rows `row` .. `row + 7` of an expert, row a
// multiple of 8, times row `t` of x: from columns of place `first`, `first + stride`, ..., each
// SPAN units wide.
fn strided8(start: Sums, weight: f32, expert: u32, row: u32, t: u32, first: u32, stride: u32) -> Sums {
  let end = part.groups * 4;
  let next = stride * SPAN;
  var unit = first * SPAN;
  if (AT_ONCE == 1) {
    var sum = start;
    for (; unit < end; unit += next) {
      sum = products(sum, weight, expert, row, unit, t);
    }
    return sum;
  }
  var sum = Sums();
  for (; unit + next < end; unit += 2 * next) {
    // Added once both are there: else compilers load the second when they have the first.
    let y = products(Sums(), 1, expert, row, unit, t);
    let z = products(Sums(), 1, expert, row, unit + next, t);
    sum.rows.lo += y.rows.lo + z.rows.lo;
    sum.rows.hi += y.rows.hi + z.rows.hi;
    sum.squares += y.squares + z.squares;
  }
  for (; unit < end; unit += next) {
    sum = products(sum, 1, expert, row, unit, t);
  }
  let rows = Rows8(start.rows.lo + weight * sum.rows.lo, start.rows.hi + weight * sum.rows.hi);
  return Sums(rows, start.squares + sum.squares);
}

// The sums of a team. Contains barriers: call it in uniform control flow.
fn sums8(expert: u32, row: u32, t: u32, lane: Lane) -> Sums {
  return team_sum(strided8(Sums(), 1, expert, row, t, lane.index % TEAM, TEAM), lane);
}

// Rows `row` .. `row + 7` of an expert times row `t` of x.
fn rows8(expert: u32, row: u32, t: u32, lane: Lane) -> Rows8 {
  let sum = sums8(expert, row, t, lane);
  let factor = norm_factor(sum.squares);
  return Rows8(sum.rows.lo * factor, sum.rows.hi * factor);
}
