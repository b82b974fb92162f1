// Projection of q, k and v for few tokens, with the norm in front and a bias or none,
// RoPE and the KV append behind
//
//   w [rows, D] packed: some heads of the (H + 2 Hkv) Dh rows   x [T, D] f32   norm [D]   angles [rows, Dh / 2] (cos, sin)
//   ->   y [T, (H + 2 Hkv) Dh] f32 as q | k | v
//        keys, values [block, position in block, Hkv, Dh], f16 or f32
//
// grid (ceil(rows / 16 / (THREADS / TEAM)), T): a team makes two panels of one head, half a head
// apart, which are the pairs that RoPE turns; with PANELS 2 at once, and then it reads x once for
// both. Dh is a multiple of 16; parts hold whole heads, and `first_row` of a part counts from the
// first row of q.
#import "lib/matrix/matvec.wgsl"
#import "lib/matrix/norm_first.wgsl"
#import "lib/matrix/row_bias.wgsl"
#import "lib/attention/kv.wgsl"
#import "lib/attention/paged.wgsl"
#import "lib/token.wgsl"
#import "lib/grid.wgsl"

override THREADS: u32;
override TEAM: u32;
override AT_ONCE: u32;
override PANELS: u32; // that an invocation makes at once: 2, or 1 where it has few registers
override NORM: u32;

struct Params {
  D: u32, // columns that the norm's mean is over
  eps: f32,
  y_stride: u32, // floats a row of y
  block: u32, // positions a block
  heads: u32, // H
  kv_heads: u32, // Hkv
  pairs: u32, // Dh / 2
}

@group(0) @binding(2) var<uniform> p: Params;
@group(0) @binding(4) var<storage, read> norm: array<vec4f>; // NORM = 1: the norm's weights
@group(0) @binding(5) var<storage, read> angles: array<vec2f>;
@group(0) @binding(6) var<storage, read> step: array<u32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
@group(0) @binding(8) var<storage, read_write> keys: array<KvPair>;
@group(0) @binding(9) var<storage, read_write> values: array<KvPair>;

// of each team: its first eight rows, then the other eight
// A name for the size: wgpu (naga 29) panics over a formula of overrides that are declared later.
override MADE: u32 = THREADS / TEAM * 16;
var<workgroup> made: array<f32, MADE>;

// Rows `row` .. `row + 7` and those half a head further times row `t` of x: of each the one that is
// the invocation's, by its place in the team mod 8. Contains barriers: call it in uniform control
// flow.
fn pair_of(row: u32, t: u32, lane: Lane) -> vec2f {
  let i = lane.index % TEAM;
  if (PANELS == 1) {
    let to = lane.index / TEAM * 16 + i;
    // In a loop of a length that no compiler knows, which is 2, and by way of workgroup memory:
    // else what one needs is kept while the other is made.
    for (var half = 0u; half < min(2, part.groups + 1); half++) {
      let sum = sums8(0, min(row, part.rows - p.pairs - 8) + half * p.pairs, t, lane);
      if (i < 8) {
        made[to + half * 8] = row_of(sum.rows, i) * norm_factor(sum.squares);
      }
    }
    return vec2f(made[to % MADE], made[(to + 8) % MADE]);
  }
  let near = min(row, part.rows - p.pairs - 8);
  var one = Sums();
  var other = Sums();
  for (var unit = i * SPAN; unit < part.groups * 4; unit += TEAM * SPAN) {
    // Added once both are there, as in matvec.wgsl.
    let y = products(Sums(), 1, 0, near, unit, t);
    let z = products(Sums(), 1, 0, near + p.pairs, unit, t);
    one.rows.lo += y.rows.lo;
    one.rows.hi += y.rows.hi;
    one.squares += y.squares;
    other.rows.lo += z.rows.lo;
    other.rows.hi += z.rows.hi;
  }
  one = team_sum(one, lane);
  other = team_sum(other, lane);
  return vec2f(row_of(one.rows, i % 8), row_of(other.rows, i % 8)) * norm_factor(one.squares);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, lane: Lane) {
  let team = lane.index / TEAM;
  let i = lane.index % TEAM;
  let index = group_index(group, groups) * (THREADS / TEAM) + team;
  let t = group.z;
  let panels = p.pairs / 8; // of half a head
  let row = index / panels * p.pairs * 2 + index % panels * 8;
  let pair = pair_of(row, t, lane);
  let token = token_at(t);
  let first = row % (p.pairs * 2); // row of the head
  let head = (part.first_row + row) / (p.pairs * 2);
  if (i < 8) {
    var a = pair.x;
    var b = pair.y;
    if (BIAS == 1) {
      let biased = min(row, part.rows - p.pairs - 8) + i;
      a += bias_of(biased);
      b += bias_of(biased + p.pairs);
    }
    var turn = vec2f(1, 0);
    if (head < p.heads + p.kv_heads) {
      turn = angles[angle_row(token) * p.pairs + first + i];
    }
    made[team * 16 + i] = a * turn.x - b * turn.y;
    made[team * 16 + 8 + i] = b * turn.x + a * turn.y;
  }
  workgroupBarrier();
  if (i < 8 && row < part.rows) {
    let turned = vec2f(made[team * 16 + i * 2], made[team * 16 + i * 2 + 1]);
    let dimension = first + i % 4 * 2 + select(0, p.pairs, i >= 4);
    let at = t * p.y_stride + head * p.pairs * 2 + dimension;
    y[at] = turned.x;
    y[at + 1] = turned.y;
    if (head >= p.heads + p.kv_heads) {
      values[kv_at(token.table, token.position, head - p.heads - p.kv_heads) + dimension / 2] = kv_pack(turned);
    } else if (head >= p.heads) {
      keys[kv_at(token.table, token.position, head - p.heads) + dimension / 2] = kv_pack(turned);
    }
  }
}
