// A tile of 64 rows of activations by 64 rows of weights, by a workgroup of four subgroups
// of 32, on matrix units: 16 x 16 by 16 x 16 in f16, summed in f32. Uses the kernel's
// x_row() and store_pair().
//
// 32 columns a step are staged in workgroup memory as f16, weights unpacked once for the whole
// tile: each invocation brings in four columns of four rows of either side, fetched while the step
// before is multiplied. A subgroup then multiplies 32 rows by 32. Columns lie eight numbers further
// apart than rows are many, so that a matrix's lines are in different banks.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/tile_job.wgsl"
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
// A subgroup is 32 invocations in a row, the host sees to it; the compiler cannot know.
diagnostic(off, chromium.subgroup_matrix_uniformity);

// Rows of groups * 8 vec4f whose padding is zero.
@group(0) @binding(3) var<storage, read> x: array<vec4f>;

const TILE_X = 64u;
const TILE_W = 64u;
const TILE_THREADS = 128u;
const LINE = 72u; // numbers from one column to the next

alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Result = subgroup_matrix_result<f32, 16, 16>;

var<workgroup> x_tile: array<f16, 32 * LINE>; // [column, row]
var<workgroup> w_tile: array<f16, 32 * LINE>;
var<workgroup> results: array<f32, 4 * 256>; // a matrix a subgroup

fn x4x4(at: vec4u) -> mat4x4f {
  return transpose(mat4x4f(x[at.x], x[at.y], x[at.z], x[at.w]));
}

// Contains barriers: call it in uniform control flow.
fn make_tile(job: Job, i: u32) {
  let rows = i % 16 * 4;
  let quad = i / 16;
  // Rows past the end repeat the last ones; what they give is not stored.
  let last = job.count - 1;
  let at = quad + part.groups * 8 * vec4u(
    x_row(job, min(rows, last)),
    x_row(job, min(rows + 1, last)),
    x_row(job, min(rows + 2, last)),
    x_row(job, min(rows + 3, last)),
  );
  let row = min(job.row + rows, (part.rows - 1) / 4 * 4);
  let subgroup = i / 32;
  let mine_x = subgroup % 2 * 32;
  let mine_w = subgroup / 2 * 32;
  var sums: array<Result, 4>; // [16 rows of x, 16 rows of w]
  var next_x = x4x4(at);
  var next_w = weights4x4(job.expert, row, quad);
  for (var group = 0u; group < part.groups; group++) {
    for (var j = 0u; j < 4; j++) {
      let to = (quad * 4 + j) * LINE + rows;
      for (var r = 0u; r < 4; r++) {
        x_tile[to + r] = f16(next_x[j][r]);
        w_tile[to + r] = f16(next_w[j][r]);
      }
    }
    workgroupBarrier();
    if (group + 1 < part.groups) {
      next_x = x4x4(at + (group + 1) * 8);
      next_w = weights4x4(job.expert, row, (group + 1) * 8 + quad);
    }
    for (var k = 0u; k < 32 * LINE; k += 16 * LINE) {
      let near = subgroupMatrixLoad<Left, col_major>(&x_tile, k + mine_x, LINE);
      let far = subgroupMatrixLoad<Left, col_major>(&x_tile, k + mine_x + 16, LINE);
      for (var n = 0u; n < 2; n++) {
        let right = subgroupMatrixLoad<Right, row_major>(&w_tile, k + mine_w + n * 16, LINE);
        sums[n] = subgroupMatrixMultiplyAccumulate(near, right, sums[n]);
        sums[n + 2] = subgroupMatrixMultiplyAccumulate(far, right, sums[n + 2]);
      }
    }
    workgroupBarrier();
  }
  for (var s = 0u; s < 4; s++) {
    subgroupMatrixStore<row_major>(&results, subgroup * 256, sums[s], 16);
    workgroupBarrier();
    for (var pair = i % 32; pair < 128; pair += 32) {
      let m = mine_x + s / 2 * 16 + pair / 8;
      let n = job.row + mine_w + s % 2 * 16 + pair % 8 * 2;
      if (m < job.count && n < part.rows) {
        let result = subgroup * 256 + pair * 2;
        store_pair(job, m, n, vec2f(results[result], results[result + 1]));
      }
    }
    workgroupBarrier();
  }
}
