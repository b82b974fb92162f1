// First half of choosing with temperature: the 256 best tokens of each slice of a row, and the mass
// of all its tokens
//
//   logits [R, V] f32
//   ->   slices [R, ceil(V / 2048)]   ranked [R, ceil(V / 2048), 256] (key, ~id), in no order
//
// grid (ceil(V / 2048), R): a workgroup owns a slice of a row. Places of `ranked` beyond the
// slice's tokens are zero.
#import "lib/step.wgsl"
#import "lib/token.wgsl"
#import "lib/choose/chooser.wgsl"
#import "lib/choose/slice.wgsl"
#import "lib/choose/scan.wgsl"
#import "lib/choose/select.wgsl"
#import "lib/choose/adjust.wgsl"

struct Params {
  V: u32,
  stride: u32, // floats a row of logits
  slices: u32, // a row
  first: u32, // row of the dispatch
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read> outputs: array<u32>;
@group(0) @binding(4) var<storage, read> choosers: array<Chooser>;
@group(0) @binding(5) var<storage, read> tables: array<u32>;
@group(0) @binding(6) var<storage, read> logits: array<u32>;
@group(0) @binding(7) var<storage, read_write> slices: array<Slice>;
@group(0) @binding(8) var<storage, read_write> ranked: array<vec2u>;

var<workgroup> found: atomic<u32>;
var<workgroup> keys: array<u32, SLICE>; // of the slice's tokens; each invocation reads only what it wrote
var<private> first: u32; // token of the slice

fn candidate(i: u32) -> vec2u {
  return vec2u(keys[i], ~(first + i));
}

@compute @workgroup_size(RANKED)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = p.first + group.z;
  if (row >= count.n) {
    return;
  }
  first = group.x * SLICE;
  let chooser = choosers[token_at(outputs[row]).chooser];
  let tokens = min(SLICE, p.V - first);
  let at = row * p.slices + group.x;

  var best = vec2u();
  for (var i = lane; i < tokens; i += RANKED) {
    let rank = adjusted(chooser, row, first + i);
    keys[i] = rank.x;
    best = best_of(best, rank);
  }
  best = workgroup_best(best, lane);
  let top = value_of(best.x);
  var mass = 0.0;
  for (var i = lane; i < tokens; i += RANKED) {
    if (keys[i] != BANNED) {
      mass += exp((value_of(keys[i]) - top) * chooser.inverse_temperature);
    }
  }
  mass = workgroup_sum_upto(mass, lane);
  if (lane == RANKED - 1) {
    slices[at] = Slice(best, mass);
    atomicStore(&found, 0);
  }

  let cut = select_best(RANKED, tokens, lane);
  for (var i = lane; i < tokens; i += RANKED) {
    let rank = candidate(i);
    if (taken(cut, rank)) {
      ranked[at * RANKED + atomicAdd(&found, 1)] = rank;
    }
  }
  workgroupBarrier();
  if (lane >= atomicLoad(&found)) {
    ranked[at * RANKED + lane] = vec2u();
  }
}
