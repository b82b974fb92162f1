// A tile of 64 rows of activations by 64 rows of weights, by a workgroup of four subgroups
// of 32, on matrix units: 16 x 16 by 16 x 16 in f16, summed in f32. Uses the kernel's
// x_row() and store_pair().
//
// 32 columns a step are staged in workgroup memory as f16, weights unpacked once for the whole
// tile: each invocation brings in four columns of four rows of either side, fetched while the step
// before is multiplied. A subgroup then multiplies 32 rows by 32. Columns lie two cells further
// apart than quads of rows are many, so that a matrix's lines are in different banks.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/cell_f16.wgsl"
#import "lib/matrix/tile_job.wgsl"
#import "lib/matrix/subgroup_number.wgsl"
enable chromium_experimental_subgroup_matrix;
// A subgroup is 32 invocations, the host sees to it; the compiler cannot know.
diagnostic(off, chromium.subgroup_matrix_uniformity);

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

// Four rows of a column, from `to` on.
fn put_x(to: u32, cell: Cell) {
  x_tile[to] = cell.x;
  x_tile[to + 1] = cell.y;
  x_tile[to + 2] = cell.z;
  x_tile[to + 3] = cell.w;
}

fn put_w(to: u32, cell: Cell) {
  w_tile[to] = cell.x;
  w_tile[to + 1] = cell.y;
  w_tile[to + 2] = cell.z;
  w_tile[to + 3] = cell.w;
}

// Stores sixteen rows of activations by sixteen of weights of each subgroup, the (x, w)-th of the
// four that it has. Contains barriers: call it in uniform control flow.
fn store_sixteen(job: Job, i: u32, subgroup: u32, x: u32, w: u32, sums: Result) {
  subgroupMatrixStore<row_major>(&results, subgroup * 256, sums, 16);
  workgroupBarrier();
  for (var pair = i; pair < 512; pair += TILE_THREADS) {
    let owner = pair / 128; // the subgroup
    let m = owner % 2 * 32 + x * 16 + pair % 128 / 8;
    let n = job.row + owner / 2 * 32 + w * 16 + pair % 8 * 2;
    if (m < job.count && n < part.rows) {
      store_pair(job, m, n, vec2f(results[pair * 2], results[pair * 2 + 1]) * x_scale(x_row(job, m)));
    }
  }
  workgroupBarrier();
}

// Contains barriers: call it in uniform control flow.
fn make_tile(job: Job, i: u32) {
  let rows = i % 16 * 4;
  let quad = i / 16;
  // Rows past the end repeat the last ones; what they give is not stored.
  let last = job.count - 1;
  let at = quad + start_of(vec4u(
    x_row(job, min(rows, last)),
    x_row(job, min(rows + 1, last)),
    x_row(job, min(rows + 2, last)),
    x_row(job, min(rows + 3, last)),
  ));
  let row = min(job.row + rows, (part.rows - 1) / 4 * 4);
  let subgroup = number_of_subgroup(i);
  let mine_x = subgroup % 2 * 32;
  let mine_w = subgroup / 2 * 32;
  // By sixteen rows of x, then of w; no array, whose index would vary.
  var near_near: Result;
  var near_far: Result;
  var far_near: Result;
  var far_far: Result;
  var next_x = x_cells(at);
  var next_w = w_cells(weights4x4(job.expert, row, quad));
  let to = quad * 4 * LINE + rows;
  for (var group = 0u; group < part.groups; group++) {
    put_x(to, next_x.a);
    put_x(to + LINE, next_x.b);
    put_x(to + LINE * 2, next_x.c);
    put_x(to + LINE * 3, next_x.d);
    put_w(to, next_w.a);
    put_w(to + LINE, next_w.b);
    put_w(to + LINE * 2, next_w.c);
    put_w(to + LINE * 3, next_w.d);
    workgroupBarrier();
    if (group + 1 < part.groups) {
      next_x = x_cells(at + (group + 1) * 8);
      next_w = w_cells(weights4x4(job.expert, row, (group + 1) * 8 + quad));
    }
    // Sixteen rows of which there are none are not multiplied.
    for (var k = 0u; k < 32 * LINE && mine_x < job.count; k += 16 * LINE) {
      let near = subgroupMatrixLoad<Left, col_major>(&x_tile, k + mine_x, LINE);
      let near_w = subgroupMatrixLoad<Right, row_major>(&w_tile, k + mine_w, LINE);
      let far_w = subgroupMatrixLoad<Right, row_major>(&w_tile, k + mine_w + 16, LINE);
      near_near = subgroupMatrixMultiplyAccumulate(near, near_w, near_near);
      near_far = subgroupMatrixMultiplyAccumulate(near, far_w, near_far);
      if (mine_x + 16 < job.count) {
        let far = subgroupMatrixLoad<Left, col_major>(&x_tile, k + mine_x + 16, LINE);
        far_near = subgroupMatrixMultiplyAccumulate(far, near_w, far_near);
        far_far = subgroupMatrixMultiplyAccumulate(far, far_w, far_far);
      }
    }
    workgroupBarrier();
  }
  store_sixteen(job, i, subgroup, 0, 0, near_near);
  store_sixteen(job, i, subgroup, 0, 1, near_far);
  store_sixteen(job, i, subgroup, 1, 0, far_near);
  store_sixteen(job, i, subgroup, 1, 1, far_far);
}
