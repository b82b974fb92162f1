// A tile of 64 rows of activations by 64 rows of weights, by a workgroup of four subgroups of 32,
// on matrix units: 8 x 8 by 8 x 8, all of it in f32, as Apple's GPUs have them: nothing is rounded.
// Uses the kernel's x_row() and store_pair().
//
// 16 columns a step are staged in workgroup memory, weights unpacked once for the whole tile: half
// of the invocations bring in four columns of four rows of activations each, half of them of
// weights, fetched while the step before is multiplied. A subgroup then multiplies 32 rows by 32.
// Columns lie eight numbers further apart than there are rows, so that a matrix's lines are in
// different banks. What is staged takes 9 KiB, and the results the same place, so that a core has
// room for several workgroups.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/cell_f32.wgsl"
#import "lib/matrix/tile_job.wgsl"
#import "lib/matrix/subgroup_number.wgsl"
enable chromium_experimental_subgroup_matrix;
// A subgroup is 32 invocations, the host sees to it; the compiler cannot know.
diagnostic(off, chromium.subgroup_matrix_uniformity);

const TILE_X = 64u;
const TILE_W = 64u;
const TILE_THREADS = 128u;
const LINE = 72u; // numbers from one column to the next
const W_SIDE = 16 * LINE; // where columns of weights start

alias Left = subgroup_matrix_left<f32, 8, 8>;
alias Right = subgroup_matrix_right<f32, 8, 8>;
alias Result = subgroup_matrix_result<f32, 8, 8>;

var<workgroup> tile: array<f32, 2 * W_SIDE>; // [side, column, row]

// Eight rows of activations by 32 of weights. Members, no array, whose index would vary.
struct Band {
  a: Result,
  b: Result,
  c: Result,
  d: Result,
}

// Four rows of a column, from `to` on.
fn put(to: u32, cell: Cell) {
  tile[to] = cell.x;
  tile[to + 1] = cell.y;
  tile[to + 2] = cell.z;
  tile[to + 3] = cell.w;
}

// Stores sixteen rows of activations, the subgroup's x-th and following, by all that it has of
// weights. Contains barriers: call it in uniform control flow.
fn store_sixteen(job: Job, i: u32, subgroup: u32, x: u32, near: Band, far: Band) {
  let to = subgroup * 512;
  subgroupMatrixStore<row_major>(&tile, to, near.a, 32);
  subgroupMatrixStore<row_major>(&tile, to + 8, near.b, 32);
  subgroupMatrixStore<row_major>(&tile, to + 16, near.c, 32);
  subgroupMatrixStore<row_major>(&tile, to + 24, near.d, 32);
  subgroupMatrixStore<row_major>(&tile, to + 256, far.a, 32);
  subgroupMatrixStore<row_major>(&tile, to + 264, far.b, 32);
  subgroupMatrixStore<row_major>(&tile, to + 272, far.c, 32);
  subgroupMatrixStore<row_major>(&tile, to + 280, far.d, 32);
  workgroupBarrier();
  for (var pair = i; pair < 1024; pair += TILE_THREADS) {
    let owner = pair / 256; // the subgroup
    let m = owner % 2 * 32 + x + pair % 256 / 16;
    let n = job.row + owner / 2 * 32 + pair % 16 * 2;
    if (m < job.count && n < part.rows) {
      store_pair(job, m, n, vec2f(tile[pair * 2], tile[pair * 2 + 1]));
    }
  }
  workgroupBarrier();
}

// Contains barriers: call it in uniform control flow.
fn make_tile(job: Job, i: u32) {
  let weights = i / 64 == 1; // what this invocation brings in
  let rows = i % 16 * 4;
  let quad = i % 64 / 16;
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
  let mine_w = W_SIDE + subgroup / 2 * 32;
  var first: Band;
  var second: Band;
  var third: Band;
  var fourth: Band;
  var next: Cells;
  if (weights) {
    next = w_cells(weights4x4(job.expert, row, quad));
  } else {
    next = x_cells(at);
  }
  let to = select(0, W_SIDE, weights) + quad * 4 * LINE + rows;
  let steps = part.groups * 2;
  for (var step = 0u; step < steps; step++) {
    put(to, next.a);
    put(to + LINE, next.b);
    put(to + LINE * 2, next.c);
    put(to + LINE * 3, next.d);
    workgroupBarrier();
    if (step + 1 < steps) {
      if (weights) {
        next = w_cells(weights4x4(job.expert, row, (step + 1) * 4 + quad));
      } else {
        next = x_cells(at + (step + 1) * 4);
      }
    }
    // Eight rows of which there are none are not multiplied.
    for (var k = 0u; k < 16 * LINE && mine_x < job.count; k += 8 * LINE) {
      let a = subgroupMatrixLoad<Right, row_major>(&tile, k + mine_w, LINE);
      let b = subgroupMatrixLoad<Right, row_major>(&tile, k + mine_w + 8, LINE);
      let c = subgroupMatrixLoad<Right, row_major>(&tile, k + mine_w + 16, LINE);
      let d = subgroupMatrixLoad<Right, row_major>(&tile, k + mine_w + 24, LINE);
      var x = subgroupMatrixLoad<Left, col_major>(&tile, k + mine_x, LINE);
      first.a = subgroupMatrixMultiplyAccumulate(x, a, first.a);
      first.b = subgroupMatrixMultiplyAccumulate(x, b, first.b);
      first.c = subgroupMatrixMultiplyAccumulate(x, c, first.c);
      first.d = subgroupMatrixMultiplyAccumulate(x, d, first.d);
      if (mine_x + 8 < job.count) {
        x = subgroupMatrixLoad<Left, col_major>(&tile, k + mine_x + 8, LINE);
        second.a = subgroupMatrixMultiplyAccumulate(x, a, second.a);
        second.b = subgroupMatrixMultiplyAccumulate(x, b, second.b);
        second.c = subgroupMatrixMultiplyAccumulate(x, c, second.c);
        second.d = subgroupMatrixMultiplyAccumulate(x, d, second.d);
      }
      if (mine_x + 16 < job.count) {
        x = subgroupMatrixLoad<Left, col_major>(&tile, k + mine_x + 16, LINE);
        third.a = subgroupMatrixMultiplyAccumulate(x, a, third.a);
        third.b = subgroupMatrixMultiplyAccumulate(x, b, third.b);
        third.c = subgroupMatrixMultiplyAccumulate(x, c, third.c);
        third.d = subgroupMatrixMultiplyAccumulate(x, d, third.d);
      }
      if (mine_x + 24 < job.count) {
        x = subgroupMatrixLoad<Left, col_major>(&tile, k + mine_x + 24, LINE);
        fourth.a = subgroupMatrixMultiplyAccumulate(x, a, fourth.a);
        fourth.b = subgroupMatrixMultiplyAccumulate(x, b, fourth.b);
        fourth.c = subgroupMatrixMultiplyAccumulate(x, c, fourth.c);
        fourth.d = subgroupMatrixMultiplyAccumulate(x, d, fourth.d);
      }
    }
    workgroupBarrier();
  }
  store_sixteen(job, i, subgroup, 0, first, second);
  store_sixteen(job, i, subgroup, 16, third, fourth);
}
