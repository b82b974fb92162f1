// Attention of a share of the positions where an invocation has some 64 registers: only the outputs
// stay in them. The queries lie in workgroup memory, and keys and values come one after the other.
#import "lib/attention/span.wgsl"

// A name for the size: wgpu (naga 29) panics over a formula of overrides that are declared later.
override QUERY_PARTS: u32 = FOURS * UNITS * 8;
var<workgroup> queries: array<vec4f, QUERY_PARTS>; // [four of heads, dimension of the unit, unit]

fn put_query(first: u32, q: Eight) {
  queries[first] = q.near[0];
  queries[first + UNITS] = q.near[1];
  queries[first + UNITS * 2] = q.near[2];
  queries[first + UNITS * 3] = q.near[3];
  queries[first + UNITS * 4] = q.far[0];
  queries[first + UNITS * 5] = q.far[1];
  queries[first + UNITS * 6] = q.far[2];
  queries[first + UNITS * 7] = q.far[3];
}

fn score_part(first: u32, key: mat2x4f) -> vec4f {
  let near = queries[first] * key[0].x + queries[first + UNITS] * key[0].y
    + queries[first + UNITS * 2] * key[0].z + queries[first + UNITS * 3] * key[0].w;
  return near + queries[first + UNITS * 4] * key[1].x + queries[first + UNITS * 5] * key[1].y
    + queries[first + UNITS * 6] * key[1].z + queries[first + UNITS * 7] * key[1].w;
}

// Attends to the cached positions own.origin .. to - 1, and stores the outputs. Contains barriers:
// call it in uniform control flow.
fn attend(own: Share, to: u32, query: Eight, start: Start, lane: u32) {
  let tile = SLICES * 4;
  let all = p.slices * 4; // of a tile: no constant, so that loops over it are not unrolled
  let units = (p.pairs + 3) / 4;
  let place = place_of(lane);
  let query_at = place.four * UNITS * 8 + place.unit;
  let score_at = place.four * SLICES * 4 + place.slice;
  var soft = start.soft;
  var out = start.out;
  for (var i = lane; i < tile; i += UNITS * SLICES * FOURS) {
    places[i] = kv_at(own.token.table, min(own.origin + i, max(to, 1) - 1), own.kv_head) / 4;
  }
  if (place.slice == 0) {
    put_query(query_at, query);
  }
  workgroupBarrier();
  var side = 0u;
  for (var first = own.origin; first < to; first += tile) {
    let mine = side + place.slice;
    for (var j = 0u; j < all; j += SLICES) {
      let key = kv_unpack(key_unit(places[mine + j], place.unit));
      parts[(score_at + j) * (UNITS | 1) + place.unit] = score_part(query_at, key);
    }
    workgroupBarrier();
    side = tile - side;
    for (var i = lane; i < tile; i += UNITS * SLICES * FOURS) {
      places[side + i] = kv_at(own.token.table, min(first + tile + i, to - 1), own.kv_head) / 4;
    }
    for (var i = lane; i < FOURS * tile; i += UNITS * SLICES * FOURS) {
      var sum = vec4f();
      for (var u = 0u; u < units; u++) {
        sum += parts[i * (UNITS | 1) + u];
      }
      scores[i] = select(vec4f(MASKED), sum, first + i % tile < to);
    }
    workgroupBarrier();
    var top = soft.top;
    for (var j = 0u; j < all; j += SLICES) {
      top = max(top, scores[score_at + j]);
    }
    let fade = exp(soft.top - top);
    var total = soft.total * fade;
    out = faded(out, fade);
    for (var j = 0u; j < all; j += SLICES) {
      let weight = weigh(scores[score_at + j], top);
      total += weight;
      out = plus(out, weight, kv_unpack(value_unit(places[mine + j], place.unit)));
    }
    soft = Soft(top, total);
  }
  finish(out, soft, own.heads, own.row, place);
}
