// A tile of TILE rows of activations by TILE rows of weights, by a workgroup of 256, both staged in
// workgroup memory: the variant for GPUs. Uses the kernel's x_row() and store_pair().
//
// 2048 / TILE columns a step: half of the invocations bring in weights, unpacked once for the whole
// tile, the other half activations, each four rows by four columns, fetched while the step before
// is multiplied. They lie column by column, four rows a cell, so that neighbours write and read
// neighbouring cells: no two of them meet in a bank. An invocation then multiplies TILE / 16 rows
// by TILE / 16 rows, in quads that are 64 rows apart.
#import "lib/matrix/weights.wgsl"
#import "lib/matrix/cell.wgsl"
#import "lib/matrix/tile_job.wgsl"
#import "lib/matrix/tile_size.wgsl"

// Rows of groups * 8 vec4f whose padding is zero.
@group(0) @binding(3) var<storage, read> x: array<vec4f>;

const TILE_X = TILE;
const TILE_W = TILE;
const TILE_THREADS = 256u;
const QUADS = TILE / 4; // quads of rows
const DEPTH = 512 / TILE; // quads of columns a step
const EACH = TILE / 64; // quads of rows that an invocation multiplies, on either side

var<workgroup> x_tile: array<Cell, 512>; // [column, quad of rows]
var<workgroup> w_tile: array<Cell, 512>;

// What an invocation loads for the tile.
struct Source {
  weights: bool,
  expert: u32,
  row: u32, // of the weights
  at: vec4u, // where four rows of activations start
}

// Four columns of four rows: [column] holds the rows.
fn fetch(source: Source, quad: u32) -> mat4x4f {
  if (source.weights) {
    return weights4x4(source.expert, source.row, quad);
  }
  let at = source.at + quad;
  return transpose(mat4x4f(x[at.x], x[at.y], x[at.z], x[at.w]));
}

// Contains barriers: call it in uniform control flow.
fn make_tile(job: Job, i: u32) {
  let rows = i % QUADS * 4;
  let depth = i % 128 / QUADS;
  // Rows past the end repeat the last ones; what they give is not stored.
  let last = job.count - 1;
  let at = vec4u(
    x_row(job, min(rows, last)),
    x_row(job, min(rows + 1, last)),
    x_row(job, min(rows + 2, last)),
    x_row(job, min(rows + 3, last)),
  );
  let source = Source(i < 128, job.expert, min(job.row + rows, (part.rows - 1) / 4 * 4), at * part.groups * 8);
  let to = depth * 4 * QUADS + rows / 4;
  let mine_x = i / 16;
  let mine_w = i % 16;
  var sums: array<vec4f, EACH * 4 * EACH>; // [quad of x, row of it, quad of w]
  var brought = fetch(source, depth);
  for (var quad = 0u; quad < part.groups * 8; quad += DEPTH) {
    let cells = array(cell(brought[0]), cell(brought[1]), cell(brought[2]), cell(brought[3]));
    if (source.weights) {
      for (var j = 0u; j < 4; j++) {
        w_tile[to + j * QUADS] = cells[j];
      }
    } else {
      for (var j = 0u; j < 4; j++) {
        x_tile[to + j * QUADS] = cells[j];
      }
    }
    workgroupBarrier();
    if (quad + DEPTH < part.groups * 8) {
      brought = fetch(source, quad + DEPTH + depth);
    }
    for (var c = 0u; c < 512; c += QUADS) {
      var b: array<vec4f, EACH>;
      for (var r = 0u; r < EACH; r++) {
        b[r] = vec4f(w_tile[c + mine_w + r * 16]);
      }
      for (var q = 0u; q < EACH; q++) {
        let a = vec4f(x_tile[c + mine_x + q * 16]);
        for (var r = 0u; r < EACH; r++) {
          sums[(q * 4) * EACH + r] += a.x * b[r];
          sums[(q * 4 + 1) * EACH + r] += a.y * b[r];
          sums[(q * 4 + 2) * EACH + r] += a.z * b[r];
          sums[(q * 4 + 3) * EACH + r] += a.w * b[r];
        }
      }
    }
    workgroupBarrier();
  }
  for (var s = 0u; s < EACH * 4 * EACH; s++) {
    let m = (s / (EACH * 4) * 16 + mine_x) * 4 + s / EACH % 4;
    let row = job.row + (s % EACH * 16 + mine_w) * 4;
    if (m < job.count && row < part.rows) {
      store_pair(job, m, row, sums[s].xy);
      store_pair(job, m, row + 2, sums[s].zw);
    }
  }
}
