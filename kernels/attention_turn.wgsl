// Attention of single tokens that takes q, k and v as the projection leaves them: RMSNorm of q and
// k run by run, the clip of all three, rotary position embedding, the KV append, and then
// attention_split over the positions before
//
//   qkv [T, (H + 2 Hkv) Dh] f32, not turned   keys, values: paged, f16 or f32   sinks [H] f32
//   norms [q_size + k_size] f32: weights of q's norm, then of k's   angles [rows, rd / 2] (cos, sin)
//   ->   y [T, splits, H Dh + 2 H] f32, or [T, H Dh]
//        keys, values: the token's own
//
// Formulas of the norm and of what turns are those of qkv_turn.wgsl. Every token is of a sequence
// of its own: none sees a position that another one of the step appends.
//
// grid (Hkv * ceil(G / 8), T * splits) as in attention_split.wgsl. Each workgroup turns its own
// heads. The one whose split ends with the token's own position turns k too and starts from it, and
// so no workgroup reads from the cache what another one writes; of those that share a key/value
// head, the first appends.
#import "lib/attention/attend.wgsl"

override NORM: u32;
override CLIP: u32;

struct Params {
  block: u32, // positions a block
  heads: u32, // H
  kv_heads: u32, // Hkv
  pairs: u32, // Dh / 2
  window: u32, // positions seen, the token's own included; 0 sees every earlier one
  scale: f32, // of the scores: 1 / sqrt(Dh) as a rule
  stride: u32, // floats a row of qkv
  y_stride: u32, // floats a row of y
  most: u32, // splits of all tokens together, at most
  unshared: u32, // up to so many tokens have as many each
  slices: u32, // SLICES again, as in attention_split.wgsl
  skip: u32, // 0
  turned: u32, // rd / 2
  q_size: u32,
  k_size: u32,
  eps: f32,
  clip: f32, // CLIP = 1
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read> qkv: array<f32>;
@group(0) @binding(4) var<storage, read> norms: array<f32>; // NORM = 1
@group(0) @binding(5) var<storage, read> angles: array<vec2f>;
@group(0) @binding(6) var<storage, read> sinks: array<f32>;
@group(0) @binding(7) var<storage, read_write> keys: array<KvStored>;
@group(0) @binding(8) var<storage, read_write> values: array<KvStored>;
@group(0) @binding(9) var<storage, read_write> y: array<f32>;

// Squares of q, and from OF_KEY on of k. Of norms over a head: of each unit of the workgroup's
// heads; of norms over all heads: what each invocation adds to them.
// Names for sizes: wgpu (naga 29) panics over a formula of overrides that are declared later.
override OF_KEY: u32 = UNITS * max(8, SLICES * FOURS);
override SQUARES: u32 = UNITS * max(8, SLICES * FOURS) * 2;
var<workgroup> squares: array<f32, SQUARES>;
// the token's own key, as the cache has it
override FRESH: u32 = UNITS * 2;
var<workgroup> fresh: array<vec4f, FRESH>;

// A head of q | k that the workgroup turns: the number it has among them is that of its squares.
struct Own {
  number: u32, // of query heads 0 .. 4 FOURS - 1; then the key
  head: u32, // of q | k | v
  run: u32, // values that its norm is over
  norm: u32, // where the norm's weights of its first dimension lie
}

fn own_head(heads: Heads, kv_head: u32, number: u32) -> Own {
  let width = p.pairs * 2;
  if (number == FOURS * 4) {
    return Own(number, p.heads + kv_head, p.k_size, p.q_size + kv_head * width % p.k_size);
  }
  let head = heads.first + number;
  return Own(number, head, p.q_size, head * width % p.q_size);
}

// Where the squares of a head's run lie.
fn squares_of(one: Own) -> u32 {
  if (one.number == FOURS * 4) {
    return OF_KEY;
  }
  return select(one.number * UNITS, 0, one.run > p.pairs * 2);
}

// Leaves the squares of each head's run in `squares`. Contains barriers.
fn take_squares(share: Share, lane: u32) {
  let width = p.pairs * 2;
  let row = share.t * p.stride;
  for (var number = lane / UNITS; number <= FOURS * 4; number += SLICES * FOURS) {
    let one = own_head(share.heads, share.kv_head, number);
    if (one.run == width && (number < share.heads.count || number == FOURS * 4)) {
      var sum = 0.0;
      let first = lane % UNITS * 8;
      for (var d = first; d < min(first + 8, width); d++) {
        let value = qkv[row + one.head * width + d];
        sum += value * value;
      }
      squares[squares_of(one) + lane % UNITS] = sum;
    }
  }
  if (p.q_size > width) {
    var sum = 0.0;
    for (var i = lane; i < p.q_size; i += UNITS * SLICES * FOURS) {
      sum += qkv[row + i] * qkv[row + i];
    }
    squares[lane] = sum;
  }
  if (p.k_size > width) {
    var sum = 0.0;
    let end = row + p.heads * width + p.k_size;
    for (var i = row + p.heads * width + lane; i < end; i += UNITS * SLICES * FOURS) {
      sum += qkv[i] * qkv[i];
    }
    squares[OF_KEY + lane] = sum;
  }
  workgroupBarrier();
}

// What the norm multiplies a head by, besides its weights.
fn factor_of(one: Own) -> f32 {
  if (NORM == 0) {
    return 1;
  }
  let first = squares_of(one);
  let size = (p.pairs + 3) / 4 * select(1, p.slices * FOURS, one.run > p.pairs * 2);
  var sum = 0.0;
  for (var i = 0u; i < size; i++) {
    sum += squares[first + i];
  }
  return 1 / sqrt(sum / f32(one.run) + p.eps);
}

fn clipped(value: f32) -> f32 {
  return select(value, clamp(value, -p.clip, p.clip), CLIP == 1);
}

// Dimension d of a head, not turned yet.
fn value_of(one: Own, t: u32, d: u32, factor: f32) -> f32 {
  var value = qkv[t * p.stride + one.head * p.pairs * 2 + d];
  if (NORM == 1) {
    value *= factor * norms[one.norm + d];
  }
  return clipped(value);
}

// Dimensions d .. d + 3 of a head, turned by a row of angles; 0 past its end.
fn four_turned(one: Own, t: u32, first: u32, factor: f32, row: u32) -> vec4f {
  var four = vec4f();
  for (var i = 0u; i < 4; i++) {
    let d = first + i;
    if (d >= p.pairs * 2) {
      break;
    }
    var value = value_of(one, t, d, factor);
    if (d < p.turned * 2) {
      let late = d >= p.turned;
      let turn = angles[row * p.turned + d % p.turned];
      let other = value_of(one, t, select(d + p.turned, d - p.turned, late), factor);
      value = value * turn.x + other * select(-turn.y, turn.y, late);
    }
    four[i] = value;
  }
  return four;
}

// The token's own values of eight dimensions, as the cache has them.
fn fresh_values(share: Share, unit: u32) -> mat2x4f {
  let head = share.t * p.stride + (p.heads + p.kv_heads + share.kv_head) * p.pairs * 2;
  var eight = mat2x4f();
  for (var i = 0u; i < 8 && unit * 8 + i < p.pairs * 2; i++) {
    eight[i / 4][i % 4] = clipped(qkv[head + unit * 8 + i]);
  }
  return kv_unpack(kv_unit(eight));
}

// Four of the group's heads, whose turned values lie in `parts`.
fn four_queries(q: u32, unit: u32) -> Eight {
  let at = q * UNITS * 2 + unit * 2;
  return Eight(
    transpose(mat4x4f(parts[at], parts[at + UNITS * 2], parts[at + UNITS * 4], parts[at + UNITS * 6])),
    transpose(mat4x4f(parts[at + 1], parts[at + UNITS * 2 + 1], parts[at + UNITS * 4 + 1], parts[at + UNITS * 6 + 1])),
  );
}

@compute @workgroup_size(UNITS * SLICES * FOURS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
  let share = share_of(workgroup);
  if (share.origin >= share.end) {
    store_nothing(share, lane);
    return;
  }
  let place = place_of(lane);
  let unit = place.unit;
  let last = share.to == share.end; // the split of the token's own position
  if (NORM == 1) {
    take_squares(share, lane);
  }
  for (var number = lane / UNITS; number <= FOURS * 4; number += SLICES * FOURS) {
    let one = own_head(share.heads, share.kv_head, number);
    var near = vec4f();
    var far = vec4f();
    if (number < share.heads.count || (number == FOURS * 4 && last)) {
      let factor = factor_of(one);
      let row = angle_row(share.token);
      near = four_turned(one, share.t, unit * 8, factor, row);
      far = four_turned(one, share.t, unit * 8 + 4, factor, row);
    }
    if (number == FOURS * 4) {
      let key = kv_unpack(kv_unit(mat2x4f(near, far)));
      fresh[unit * 2] = key[0];
      fresh[unit * 2 + 1] = key[1];
    } else {
      parts[(number * UNITS + unit) * 2] = near * p.scale;
      parts[(number * UNITS + unit) * 2 + 1] = far * p.scale;
    }
  }
  workgroupBarrier();
  let four = four_queries(place.four * 4, unit);
  var start = nothing();
  if (last) {
    let key = mat2x4f(fresh[unit * 2], fresh[unit * 2 + 1]);
    workgroupBarrier(); // the slowest invocation still reads
    if (place.slice == 0) {
      parts[place.four * UNITS + unit] = times(four, key);
    }
    workgroupBarrier();
    if (place.slice == 0) {
      let value = fresh_values(share, unit);
      start = start_with(place.four * UNITS, value);
      if (share.chunk == 0 && place.four == 0) {
        let at = kv_at(share.token.table, share.token.position, share.kv_head) / 4 + unit;
        keys[at] = kv_unit(key);
        values[at] = kv_unit(value);
      }
    }
  }
  attend(share, select(share.to, share.to - 1, last), four, start, lane);
}

// The softmax after the token's own position, whose scores are the sums of what lies in `parts`.
fn start_with(first: u32, value: mat2x4f) -> Start {
  var score = vec4f();
  for (var unit = 0u; unit < (p.pairs + 3) / 4; unit++) {
    score += parts[first + unit];
  }
  return Start(Soft(score, vec4f(1)), plus(Eight(), vec4f(1), value));
}
