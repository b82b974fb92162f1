// The gated delta rule: S := exp(g) S;  S := S + k (beta (v - S^T k))^T;  o = S^T q, row by row
//
//   qkv [T, 2 Hk dk + Hv dv] f32   factors [T, Hv] of delta_factors.wgsl
//   runs [n]: first row, rows, slot, 1 if it begins at position 0
//   state [slots, Hv, dk, dv] f32   ->   y [T, Hv dv], state
//
// With a = S^T k and b = S^T q of S as it was, delta = beta (v - exp(g) a): S becomes exp(g) S +
// k delta, and o is exp(g) b + (k q) delta.
//
// grid (Hv * ceil(dv / 16), n): a workgroup takes 16 columns of a head's S, which do not meet the
// others, through all rows of a run. Of four invocations of a column each keeps every fourth quad
// of its S in registers; q, k and v come eight rows at a time. So a row is one barrier.
#import "lib/grid.wgsl"

override DK: u32;
override QUADS: u32; // ceil(DK / 16): quads of a column that an invocation has, at most 12

struct Params {
  key_heads: u32, // Hk
  value_heads: u32, // Hv
  dv: u32,
  stride: u32, // floats a row of qkv
  y_stride: u32,
  tiled: u32, // 1: value head h takes key head h mod Hk, else h / (Hv / Hk)
}

const COLUMNS = 16u;
const SLICES = 4u;
const ROWS = 8u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> runs: array<vec4u>;
@group(0) @binding(2) var<storage, read> qkv: array<f32>;
@group(0) @binding(3) var<storage, read> factors: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> state: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

// A name for the size: wgpu (naga 29) panics over a formula of overrides that are declared later.
override QUADS_OF_ROWS: u32 = 8 * 4 * QUADS;
// Rows in hand, scaled, zeros past DK: [row][quad].
var<workgroup> q: array<vec4f, QUADS_OF_ROWS>;
var<workgroup> k: array<vec4f, QUADS_OF_ROWS>;
var<workgroup> v: array<f32, 128>; // [row][column]
// What each invocation adds to a, b and k q: of even rows, then of odd ones, so that no invocation
// waits for those that still read the row before.
var<workgroup> parts: array<vec3f, 128>;

// Four numbers of a row of qkv, those at and past DK as zeros.
fn quad_at(row: u32, d: u32, scale: f32) -> vec4f {
  let last = DK - 1;
  let x = vec4f(
    qkv[row + min(d, last)],
    qkv[row + min(d + 1, last)],
    qkv[row + min(d + 2, last)],
    qkv[row + min(d + 3, last)],
  );
  return select(vec4f(), x * scale, vec4u(d, d + 1, d + 2, d + 3) < vec4u(DK));
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let blocks = (p.dv + COLUMNS - 1) / COLUMNS;
  let head = group_index(group, groups) / blocks;
  if (head >= p.value_heads) {
    return;
  }
  let c = lane % COLUMNS;
  let slice = lane / COLUMNS;
  let first_column = group_index(group, groups) % blocks * COLUMNS;
  let column = first_column + c;
  let inside = column < p.dv;
  let run = runs[group.z];
  let key = select(head / (p.value_heads / p.key_heads), head % p.key_heads, p.tiled == 1) * DK;
  let keys = p.key_heads * DK;
  let own = (run.z * p.value_heads + head) * DK * p.dv + column;
  var S: array<vec4f, 12>;
  for (var j = 0u; j < QUADS; j++) {
    var s = vec4f();
    for (var i = 0u; i < 4; i++) {
      let row = (j * SLICES + slice) * 4 + i;
      if (inside && run.w == 0 && row < DK) {
        s[i] = state[own + row * p.dv];
      }
    }
    S[j] = s;
  }
  for (var first = run.x; first < run.x + run.y; first += ROWS) {
    let rows = min(ROWS, run.x + run.y - first);
    workgroupBarrier();
    for (var i = lane; i < rows * QUADS * SLICES; i += 64) {
      let t = first + i / (QUADS * SLICES);
      let at = t * p.stride + key;
      let d = i % (QUADS * SLICES) * 4;
      let f = factors[t * p.value_heads + head];
      q[i] = quad_at(at, d, f.x);
      k[i] = quad_at(at + keys, d, f.y);
    }
    for (var i = lane; i < rows * COLUMNS; i += 64) {
      let from_column = min(first_column + i % COLUMNS, p.dv - 1);
      v[i] = qkv[(first + i / COLUMNS) * p.stride + 2 * keys + head * p.dv + from_column];
    }
    workgroupBarrier();
    for (var r = 0u; r < rows; r++) {
      let f = factors[(first + r) * p.value_heads + head];
      let at = r * QUADS * SLICES + slice;
      var sum = vec3f();
      for (var j = 0u; j < QUADS; j++) {
        let k4 = k[at + j * SLICES];
        let q4 = q[at + j * SLICES];
        sum += vec3f(dot(S[j], k4), dot(S[j], q4), dot(k4, q4));
      }
      let side = r % 2 * 64;
      parts[side + lane] = sum;
      workgroupBarrier();
      let all = parts[side + c] + parts[side + c + 16] + parts[side + c + 32] + parts[side + c + 48];
      let delta = f.z * (v[r * COLUMNS + c] - f.w * all.x);
      for (var j = 0u; j < QUADS; j++) {
        S[j] = S[j] * f.w + k[at + j * SLICES] * delta;
      }
      if (slice == 0 && inside) {
        y[(first + r) * p.y_stride + head * p.dv + column] = f.w * all.y + all.z * delta;
      }
    }
  }
  for (var j = 0u; j < QUADS; j++) {
    for (var i = 0u; i < 4; i++) {
      let row = (j * SLICES + slice) * 4 + i;
      if (inside && row < DK) {
        state[own + row * p.dv] = S[j][i];
      }
    }
  }
}
