// A tile of TILE_X rows of activations by TILE_W rows of weights, by a workgroup of 256, both
// staged in workgroup memory: the variant for GPUs. Uses the kernel's x_row() and store_pair().
//
// 4 DEPTH columns a step: half of the invocations bring in weights, unpacked once for the whole
// tile, others activations, each four rows by four columns, fetched while the step before is
// multiplied. They lie column by column, four rows a cell, so that neighbours write and read
// neighbouring cells: no two of them meet in a bank. An invocation then multiplies one or two quads
// of either side, which are 64 rows apart (tile_size_*.wgsl); quads of activations that an expert
// does not have are neither brought in nor multiplied.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/cell.wgsl"
#import "lib/matrix/tile_job.wgsl"
#import "lib/matrix/tile_size.wgsl"
#import "lib/matrix/tile_store.wgsl"

const TILE_THREADS = 256u;
const X_QUADS = TILE_X / 4; // quads of rows
const W_QUADS = TILE_W / 4;
const DEPTH = 128 / W_QUADS; // quads of columns a step: one of weights for each of 128 invocations

// [quad of columns][column of it][quad of rows]: an index each, because checks of an index that is
// the same all along, or known, cost nothing.
var<workgroup> x_tile: array<array<array<Cell, X_QUADS>, 4>, DEPTH>;
var<workgroup> w_tile: array<array<array<Cell, W_QUADS>, 4>, DEPTH>;

// What an invocation loads for the tile.
struct Source {
  weights: bool,
  expert: u32,
  row: u32, // of the weights
  at: vec4u, // where four rows of activations start
}

// Four columns of four rows.
fn fetch(source: Source, quad: u32) -> Cells {
  if (source.weights) {
    return w_cells(weights4x4(source.expert, source.row, quad));
  }
  return x_cells(source.at + quad);
}

// Products of four rows of activations by four of weights: [row of activations].
fn outer(a: vec4f, b: vec4f) -> mat4x4f {
  return mat4x4f(a.x * b, a.y * b, a.z * b, a.w * b);
}

// Contains barriers: call it in uniform control flow.
fn make_tile(job: Job, i: u32) {
  let weights = i < 128;
  let rows = select(i % X_QUADS, i % W_QUADS, weights);
  let depth = select((i - 128) / X_QUADS, i / W_QUADS, weights);
  let brings = weights || (depth < DEPTH && rows * 4 < job.count);
  // Rows past the end repeat the last one; what they give is not stored.
  let last = job.count - 1;
  let at = start_of(vec4u(
    x_row(job, min(rows * 4, last)),
    x_row(job, min(rows * 4 + 1, last)),
    x_row(job, min(rows * 4 + 2, last)),
    x_row(job, min(rows * 4 + 3, last)),
  ));
  let source = Source(weights, job.expert, min(job.row + rows * 4, (part.rows - 1) / 4 * 4), at);
  let mine_x = i / 16;
  let mine_w = i % 16;
  var sums = Sums();
  var brought = Cells();
  if (brings) {
    brought = fetch(source, depth);
  }
  for (var quad = 0u; quad < part.groups * 8; quad += DEPTH) {
    if (weights) {
      w_tile[depth][0][rows] = brought.a;
      w_tile[depth][1][rows] = brought.b;
      w_tile[depth][2][rows] = brought.c;
      w_tile[depth][3][rows] = brought.d;
    } else if (brings) {
      x_tile[depth][0][rows] = brought.a;
      x_tile[depth][1][rows] = brought.b;
      x_tile[depth][2][rows] = brought.c;
      x_tile[depth][3][rows] = brought.d;
    }
    workgroupBarrier();
    if (brings && quad + DEPTH < part.groups * 8) {
      brought = fetch(source, quad + DEPTH + depth);
    }
    multiply(&sums, job.count, mine_x, mine_w);
    workgroupBarrier();
  }
  store_sums(job, sums, mine_x, mine_w);
}
