// Projection of q, k and v for few tokens, each weight read once for all, with a bias or
// none, RoPE and the KV append behind
//
//   w [rows, D] packed: some heads of the (H + 2 Hkv) Dh rows   x [T, D] f32 or int8   angles [rows, Dh / 2] (cos, sin)
//   ->   y [T, (H + 2 Hkv) Dh] f32 as q | k | v
//        keys, values [block, position in block, Hkv, Dh], f16 or f32
//
// grid ceil(rows / (2 FEW_ROWS THREADS / TEAM)) ceil(T / TILE_X): a team makes twice FEW_ROWS rows
// of one head, half a head apart, which are the pairs that RoPE turns, of up to TILE_X tokens. Dh
// is a multiple of 16; parts hold whole heads, and `first_row` of a part counts from the first row
// of q.
#import "lib/matrix/few_shape.wgsl"
#import "lib/matrix/row_bias.wgsl"
#import "lib/attention/kv.wgsl"
#import "lib/attention/paged.wgsl"
#import "lib/token.wgsl"
#import "lib/step.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;
override TEAM: u32;

struct Params {
  y_stride: u32, // floats a row of y
  block: u32, // positions a block
  heads: u32, // H
  kv_heads: u32, // Hkv
  pairs: u32, // Dh / 2
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<uniform> count: Count;
@group(0) @binding(5) var<storage, read> angles: array<vec2f>;
@group(0) @binding(6) var<storage, read> step: array<u32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
@group(0) @binding(8) var<storage, read_write> keys: array<KvPair>;
@group(0) @binding(9) var<storage, read_write> values: array<KvPair>;

// [team, token, half of the head, row]
// A name for the size: wgpu (naga 29) panics over a formula of overrides that are declared later.
override MADE: u32 = THREADS / TEAM * TILE_X * 2 * FEW_ROWS;
var<workgroup> made: array<f32, MADE>;

fn x_row(job: Job, m: u32) -> u32 {
  return job.first + m;
}

// Where the m-th token's rows of a half of the head lie in `made`.
fn made_at(m: u32, half: u32, lane: Lane) -> u32 {
  return ((lane.index / TEAM * TILE_X + m) * 2 + half) * FEW_ROWS;
}

// Contains barriers: call it in uniform control flow.
fn make_half(job: Job, row: u32, half: u32, lane: Lane) {
  make_sums(job, row, lane);
  for (var i = lane.index % TEAM; i < job.count * FEW_ROWS; i += TEAM) {
    var value = sum_of(i / FEW_ROWS, i % FEW_ROWS, lane);
    if (BIAS == 1) {
      value += bias_of(row + i % FEW_ROWS);
    }
    made[made_at(i / FEW_ROWS, half, lane) + i % FEW_ROWS] = value;
  }
  workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let passes = (count.n + TILE_X - 1) / TILE_X;
  let index = group_index(group, groups);
  let block = index / passes * (THREADS / TEAM);
  let tokens = index % passes * TILE_X;
  if (block * 2 * FEW_ROWS >= part.rows) {
    return;
  }
  let job = Job(0, 0, tokens, min(TILE_X, count.n - tokens));
  let each = p.pairs / FEW_ROWS; // teams that share a head
  let own = (block + lane.index / TEAM) / each; // head of the part
  let first = (block + lane.index / TEAM) % each * FEW_ROWS; // row of the half head
  let inside = own * p.pairs * 2 < part.rows;
  let row = select(0, own * p.pairs * 2 + first, inside);
  make_half(job, row, 0, lane);
  make_half(job, row + p.pairs, 1, lane);
  if (!inside) {
    return;
  }
  let head = own + part.first_row / (p.pairs * 2);
  for (var i = lane.index % TEAM; i < job.count * FEW_ROWS; i += TEAM) {
    let m = i / FEW_ROWS;
    let r = i % (FEW_ROWS / 2) * 2; // a pair of rows, of the first half of the head or the other
    let far = i % FEW_ROWS >= FEW_ROWS / 2;
    let t = tokens + m;
    let token = token_at(t);
    let a = made_at(m, 0, lane) + r;
    let b = made_at(m, 1, lane) + r;
    var near_pair = vec2f(made[a], made[a + 1]);
    var far_pair = vec2f(made[b], made[b + 1]);
    if (head < p.heads + p.kv_heads) {
      let angle = angle_row(token) * p.pairs + first + r;
      let turns = vec4f(angles[angle], angles[angle + 1]);
      let turned = near_pair * turns.xz - far_pair * turns.yw;
      far_pair = far_pair * turns.xz + near_pair * turns.yw;
      near_pair = turned;
    }
    let pair = select(near_pair, far_pair, far);
    let dimension = first + r + select(0, p.pairs, far);
    let at = t * p.y_stride + head * p.pairs * 2 + dimension;
    y[at] = pair.x;
    y[at + 1] = pair.y;
    if (head >= p.heads + p.kv_heads) {
      values[kv_at(token.table, token.position, head - p.heads - p.kv_heads) + dimension / 2] = kv_pack(pair);
    } else if (head >= p.heads) {
      keys[kv_at(token.table, token.position, head - p.heads) + dimension / 2] = kv_pack(pair);
    }
  }
}
