// The best value and running sums over a workgroup of RANKED = 16 x 16 invocations, in two steps:
// sixteen invocations go through sixteen values each, then all go through the sixteen results. That
// takes two barriers instead of sixteen, and software adapters compile it in reasonable time.
var<workgroup> ranks: array<vec2u, RANKED>;
var<workgroup> best_ranks: array<vec2u, 16>;
var<workgroup> terms: array<f32, RANKED>;
var<workgroup> sums: array<f32, 16>;

// Every invocation gets the best rank. Contains barriers: call it in uniform control flow.
fn workgroup_best(rank: vec2u, lane: u32) -> vec2u {
  ranks[lane] = rank;
  workgroupBarrier();
  if (lane < 16) {
    var best = ranks[lane * 16];
    for (var i = 1u; i < 16; i++) {
      best = best_of(best, ranks[lane * 16 + i]);
    }
    best_ranks[lane] = best;
  }
  workgroupBarrier();
  if (lane == 0) {
    var best = best_ranks[0];
    for (var i = 1u; i < 16; i++) {
      best = best_of(best, best_ranks[i]);
    }
    ranks[0] = best;
  }
  return workgroupUniformLoad(&ranks[0]);
}

fn best_of(a: vec2u, b: vec2u) -> vec2u {
  return select(a, b, better(b, a));
}

// Every invocation gets the sum of its own term and those before it. Contains barriers: call it in
// uniform control flow.
fn workgroup_sum_upto(term: f32, lane: u32) -> f32 {
  terms[lane] = term;
  workgroupBarrier();
  if (lane < 16) {
    var sum = 0.0;
    for (var i = 0u; i < 16; i++) {
      sum += terms[lane * 16 + i];
    }
    sums[lane] = sum;
  }
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < lane / 16; i++) {
    sum += sums[i];
  }
  for (var i = lane & ~15u; i <= lane; i++) {
    sum += terms[i];
  }
  workgroupBarrier(); // the next call overwrites what the slowest invocation still reads
  return sum;
}
