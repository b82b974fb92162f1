// Second half of choosing with temperature: draws from softmax(logits / temperature) after top-k,
// top-p and min-p
//
//   slices [R, n]   ranked [R, n, 256] (key, ~id)
//   ->   ids [R] u32, UNDECIDED where the host has to; and the step's next tokens
//
// The order of the draw is that of src/engine/draw.ts: the 256 best of the row, then the others, of
// which only the mass is known. All sums are intervals, [a (1 - ERROR), a (1 + ERROR)], for this is
// f32 and the host's is f64: where the ends of one would choose different tokens, or one behind the
// 256, the row is undecided. So a seed gives the same tokens on host and GPU. grid R: a workgroup
// owns a row; an invocation owns a rank.
#import "lib/step.wgsl"
#import "lib/grid.wgsl"
#import "lib/choose/chooser.wgsl"
#import "lib/choose/slice.wgsl"
#import "lib/choose/scan.wgsl"
#import "lib/choose/select.wgsl"
#import "lib/choose/random.wgsl"
#import "lib/choose/chosen.wgsl"

struct Params {
  V: u32,
  slices: u32, // a row
  first: u32, // row of the dispatch
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<uniform> count: Count;
@group(0) @binding(2) var<storage, read> outputs: array<u32>;
@group(0) @binding(3) var<storage, read> slices: array<Slice>;
@group(0) @binding(4) var<storage, read> ranked: array<vec2u>;
@group(0) @binding(5) var<storage, read_write> step: array<u32>;
@group(0) @binding(6) var<storage, read_write> choosers: array<Chooser>;
@group(0) @binding(7) var<storage, read_write> tables: array<u32>;
@group(0) @binding(8) var<storage, read_write> ids: array<u32>;

const ERROR = 0x1p-18; // of a mass: exp(x) is good to (3 + 2 |x|) 2^-23, and |x| is 10 where much of the mass is
const WEIGHT_ERROR = 0x1p-16; // of a single weight, where |x| may be larger

var<workgroup> chooser: Chooser;
var<workgroup> found: atomic<u32>;
var<workgroup> masses: array<f32, RANKED>; // sum of the weights of all tokens, in parts
var<workgroup> unsorted: array<vec2u, RANKED>; // the best ranks
var<workgroup> order: array<vec2u, RANKED>; // the same, best first
var<workgroup> weights: array<f32, RANKED>; // exp((logit - best) / temperature)
var<workgroup> upto: array<f32, RANKED>; // sum of weights up to and with this one
var<private> first: u32; // of the row's candidates

fn candidate(i: u32) -> vec2u {
  return ranked[first + i];
}

@compute @workgroup_size(RANKED)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = p.first + group_index(group, groups);
  if (row >= count.n) {
    return;
  }
  let t = outputs[row];
  if (lane == 0) {
    chooser = choosers[step[t * 4 + 3]];
    atomicStore(&found, 0);
  }
  var best = vec2u();
  for (var s = lane; s < p.slices; s += RANKED) {
    best = best_of(best, slices[row * p.slices + s].best);
  }
  best = workgroup_best(best, lane);
  let c = workgroupUniformLoad(&chooser);
  var id = UNDECIDED;
  var random = c.random;
  if (best.x != BANNED && best.x != BROKEN && c.undecided == 0) {
    id = ~best.y;
    if (c.inverse_temperature > 0) {
      id = sample(c, row, best, lane);
      random = random_after_two(random);
    }
  }
  if (lane == 0) {
    chosen(row, t, id, random);
  }
}

// The token that the first invocation gets, the others UNDECIDED. Contains barriers: call it in
// uniform control flow.
fn sample(c: Chooser, row: u32, best: vec2u, lane: u32) -> u32 {
  let top = value_of(best.x);
  var mass = 0.0;
  for (var s = lane; s < p.slices; s += RANKED) {
    let slice = slices[row * p.slices + s];
    if (slice.best.x != BANNED) {
      mass += slice.mass * exp((value_of(slice.best.x) - top) * c.inverse_temperature);
    }
  }
  masses[lane] = mass;

  first = row * p.slices * RANKED;
  let wanted = select(RANKED, min(c.top_k, RANKED), c.top_k > 0);
  let cut = select_best(wanted, p.slices * RANKED, lane);
  for (var i = lane; i < p.slices * RANKED; i += RANKED) {
    let rank = candidate(i);
    if (taken(cut, rank)) {
      unsorted[atomicAdd(&found, 1)] = rank;
    }
  }
  workgroupBarrier();
  let n = atomicLoad(&found);
  if (lane < n) {
    let own = unsorted[lane];
    var place = 0u;
    for (var i = 0u; i < n; i++) {
      place += u32(better(unsorted[i], own));
    }
    order[place] = own;
    weights[place] = exp((value_of(own.x) - top) * c.inverse_temperature);
  } else {
    weights[lane] = 0;
  }
  workgroupBarrier();
  upto[lane] = workgroup_sum_upto(weights[lane], lane);
  workgroupBarrier();
  if (lane > 0) {
    return UNDECIDED;
  }
  mass = 0;
  for (var i = 0u; i < min(p.slices, RANKED); i++) {
    mass += masses[i];
  }
  return draw(c, mass, n);
}

// How many of the ranked tokens lie before `mass` when their weights are laid one after the other.
fn before(mass: f32, n: u32) -> u32 {
  var low = 0u;
  var high = n;
  while (low < high) {
    let middle = (low + high) / 2;
    if (upto[middle] <= mass) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// How many of them weigh at least `floor`; those that equal the best always do.
fn heavier(floor: f32, n: u32) -> u32 {
  var low = 0u;
  var high = n;
  while (low < high) {
    let middle = (low + high) / 2;
    if (weights[middle] >= floor || order[middle].x == order[0].x) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// The token, from n ranked ones and the mass of all.
fn draw(c: Chooser, mass: f32, n: u32) -> u32 {
  let all = c.top_k == 0 && n < RANKED; // there are no others
  var kept = n + 1; // no filter keeps more of the ranked ones; n + 1: it may keep others
  if (c.top_k > 0 || all) {
    kept = select(n, min(c.top_k, n), c.top_k > 0);
  }
  let share_of = select(mass, upto[min(kept, n) - 1], kept <= n);
  // The mass that the filters keep is between these.
  var least = share_of;
  var most = share_of;
  if (c.top_p < 1) {
    let goal = c.top_p * share_of;
    let error = ERROR * share_of;
    let low = before(goal - error, n) + 1;
    let high = before(goal + error, n) + 1;
    if (low <= n) {
      least = min(least, upto[low - 1]);
    } else {
      least = min(least, goal);
    }
    if (high <= n) {
      most = min(most, upto[high - 1]);
      kept = min(kept, high);
    } else {
      most = min(most, goal + weights[n - 1]);
    }
  }
  if (c.min_p > 0) {
    let low = heavier(c.min_p * (1 + WEIGHT_ERROR), n);
    let high = heavier(c.min_p * (1 - WEIGHT_ERROR), n);
    least = min(least, upto[low - 1]);
    if (high < n) {
      most = min(most, upto[high - 1]);
      kept = min(kept, high);
    }
  }
  let bits = random_24_bits(c.random);
  let error = ERROR * most;
  let low = min(before(f32(bits) * 0x1p-24 * least - error, n), kept - 1);
  let high = min(before(f32(bits + 1) * 0x1p-24 * most + error, n), kept - 1);
  if (low != high || low == n) {
    return UNDECIDED;
  }
  return ~order[low].y;
}
