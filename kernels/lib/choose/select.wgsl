// Finds the best `wanted` of n different ranks, in up to eight rounds of eight bits, by a
// workgroup of RANKED invocations. Uses the kernel's `fn candidate(i: u32) -> vec2u`; a key of
// BANNED is no candidate.
struct Cut {
  mask: vec2u, // bits of a rank that were looked at
  least: vec2u, // what they are at least in a rank that is taken
  missing: u32, // how many of those that agree with `least` are to be taken
  done: u32, // 1: all of them
}

var<workgroup> counts: array<atomic<u32>, RANKED>; // candidates by their eight bits
var<workgroup> counts16: array<u32, 16>; // sums of sixteen counts
var<workgroup> narrowed: Cut;

fn taken(cut: Cut, rank: vec2u) -> bool {
  return rank.x != BANNED && !better(cut.least, rank & cut.mask);
}

// Every invocation gets the cut. Contains barriers: call it in uniform control flow.
fn select_best(wanted: u32, n: u32, lane: u32) -> Cut {
  var cut = Cut(vec2u(), vec2u(), wanted, 0);
  for (var round = 0u; round < 8 && cut.done == 0; round++) {
    let word = round / 4;
    let shift = 24 - 8 * (round % 4);
    atomicStore(&counts[lane], 0);
    workgroupBarrier();
    for (var i = lane; i < n; i += RANKED) {
      let rank = candidate(i);
      if (rank.x != BANNED && all((rank & cut.mask) == cut.least)) {
        atomicAdd(&counts[(rank[word] >> shift) & 255], 1);
      }
    }
    workgroupBarrier();
    if (lane < 16) {
      var sum = 0u;
      for (var i = 0u; i < 16; i++) {
        sum += atomicLoad(&counts[lane * 16 + i]);
      }
      counts16[lane] = sum;
    }
    workgroupBarrier();
    var above = 0u; // candidates whose eight bits are larger than `lane`
    for (var i = lane / 16 + 1; i < 16; i++) {
      above += counts16[i];
    }
    for (var i = lane + 1; i < (lane | 15) + 1; i++) {
      above += atomicLoad(&counts[i]);
    }
    let own = above + atomicLoad(&counts[lane]);
    // Only one invocation finds that the last one taken has its eight bits; all are taken where
    // there are not enough.
    if (own >= cut.missing && above < cut.missing) {
      var next = Cut(cut.mask, cut.least, cut.missing - above, u32(own == cut.missing));
      next.mask[word] |= 255u << shift;
      next.least[word] |= lane << shift;
      narrowed = next;
    } else if (lane == 0 && own < cut.missing) {
      narrowed = Cut(cut.mask, cut.least, cut.missing, 1);
    }
    cut = workgroupUniformLoad(&narrowed);
  }
  return cut;
}
