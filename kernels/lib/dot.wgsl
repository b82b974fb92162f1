// Four rows of weights times one row of activations: the body of the matrix-vector kernels.
// Uses the kernel's `x`, rows of groups * 8 vec4f whose padding is zero.

// Rows `row` .. `row + 3` of an expert, rows past the part's end repeating the last one; `start` is where x's row starts.
fn dot4(expert: u32, row: u32, start: u32, lane: Lane) -> vec4f {
  let rows = min(vec4u(row) + vec4u(0, 1, 2, 3), vec4u(part.rows - 1));
  var sum = vec4f();
  for (var unit = lane.index; unit < part.groups * 4; unit += THREADS) {
    let a = x[start + unit * 2];
    let b = x[start + unit * 2 + 1];
    let w0 = weights8(expert, rows.x, unit);
    let w1 = weights8(expert, rows.y, unit);
    let w2 = weights8(expert, rows.z, unit);
    let w3 = weights8(expert, rows.w, unit);
    sum += vec4f(dot(w0.lo, a), dot(w1.lo, a), dot(w2.lo, a), dot(w3.lo, a));
    sum += vec4f(dot(w0.hi, b), dot(w1.hi, b), dot(w2.hi, b), dot(w3.hi, b));
  }
  return workgroup_sum(sum, lane);
}
