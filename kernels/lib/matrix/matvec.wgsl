// Eight rows of weights times one row of activations by a team of TEAM invocations, which stride
// over the columns: the body of the matrix-vector kernels. Uses the kernel's AT_ONCE: of how many
// places (1 or 2) an invocation asks for columns before it multiplies those of the first.
#import "lib/matrix/products.wgsl"
#import "lib/team/team.wgsl"

// What an invocation adds to rows `row` .. `row + 7` of an expert, row a multiple of 8, times row
// `t` of x: from columns of place `first`, `first + stride`, ..., each SPAN units wide.
fn strided8(expert: u32, row: u32, t: u32, first: u32, stride: u32) -> Sums {
  var sum = Sums();
  let end = part.groups * 4;
  let next = stride * SPAN;
  var unit = first * SPAN;
  if (AT_ONCE == 2) {
    for (; unit + next < end; unit += 2 * next) {
      let y = products(expert, row, unit, t);
      let z = products(expert, row, unit + next, t);
      sum.rows.lo += y.rows.lo + z.rows.lo;
      sum.rows.hi += y.rows.hi + z.rows.hi;
      sum.squares += y.squares + z.squares;
    }
  }
  for (; unit < end; unit += next) {
    let y = products(expert, row, unit, t);
    sum.rows.lo += y.rows.lo;
    sum.rows.hi += y.rows.hi;
    sum.squares += y.squares;
  }
  return sum;
}

// The sums of a team. Contains barriers: call it in uniform control flow.
fn sums8(expert: u32, row: u32, t: u32, lane: Lane) -> Sums {
  return team_sum(strided8(expert, row, t, lane.index % TEAM, TEAM), lane);
}

// Rows `row` .. `row + 7` of an expert times row `t` of x.
fn rows8(expert: u32, row: u32, t: u32, lane: Lane) -> Rows8 {
  let sum = sums8(expert, row, t, lane);
  let factor = norm_factor(sum.squares);
  return Rows8(sum.rows.lo * factor, sum.rows.hi * factor);
}
