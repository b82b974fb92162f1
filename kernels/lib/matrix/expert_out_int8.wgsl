// Where expert_up_vec's outputs go: rounded to int8, a workgroup's 32 being a group. A row is its
// quants, then a scale a group. Uses the kernel's params and `made`, the outputs of the workgroup;
// those past the part's end are 0.
#import "lib/matrix/quants.wgsl"
@group(0) @binding(5) var<storage, read_write> y: array<u32>;

// Outputs `first` .. of a assignment, `left` of them until the part ends.
fn store_outputs(assignment: u32, first: u32, left: u32, lane: u32) {
  if (lane >= 8) {
    return;
  }
  var top = 0.0;
  for (var i = 0u; i < 32; i++) {
    top = max(top, abs(made[i]));
  }
  let row = assignment * p.y_stride;
  let mine = vec4f(made[lane * 4], made[lane * 4 + 1], made[lane * 4 + 2], made[lane * 4 + 3]);
  y[row + first / 4 + lane] = quants4(mine, top);
  if (lane == 0) {
    y[row + p.y_stride / 9 * 8 + first / 32] = bitcast<u32>(top / 127);
  }
}
