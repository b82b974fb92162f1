// Attention of a share of the positions where an invocation has many registers: the queries stay
// in them, and keys and values of a tile are asked for together; the invocations of the other heads
// ask for the same at the same time.
#import "lib/attention/span.wgsl"

// Leaves what an invocation adds to the scores of its slice's four positions. Keys are unpacked one
// by one: registers are few.
fn put(place: Place, q: Eight, k0: KvUnit, k1: KvUnit, k2: KvUnit, k3: KvUnit) {
  let at = (place.four * SLICES * 4 + place.slice) * (UNITS | 1) + place.unit;
  parts[at] = times(q, kv_unpack(k0));
  parts[at + SLICES * (UNITS | 1)] = times(q, kv_unpack(k1));
  parts[at + SLICES * 2 * (UNITS | 1)] = times(q, kv_unpack(k2));
  parts[at + SLICES * 3 * (UNITS | 1)] = times(q, kv_unpack(k3));
}

// The softmax after a tile, and how the tile enters.
struct Tile {
  soft: Soft,
  fade: vec4f, // of what was summed before
  weights: mat4x4f, // a column is a position
}

// Takes the scores of a slice's four positions of a tile.
fn soften(before: Soft, place: Place) -> Tile {
  let at = place.four * SLICES * 4 + place.slice;
  let s = mat4x4f(scores[at], scores[at + SLICES], scores[at + SLICES * 2], scores[at + SLICES * 3]);
  let top = max(before.top, max(max(s[0], s[1]), max(s[2], s[3])));
  let fade = exp(before.top - top);
  let weights = mat4x4f(weigh(s[0], top), weigh(s[1], top), weigh(s[2], top), weigh(s[3], top));
  let total = before.total * fade + weights[0] + weights[1] + weights[2] + weights[3];
  return Tile(Soft(top, total), fade, weights);
}

fn add_values(out: Eight, tile: Tile, v0: KvUnit, v1: KvUnit, v2: KvUnit, v3: KvUnit) -> Eight {
  let w = tile.weights;
  let two = plus(plus(faded(out, tile.fade), w[0], kv_unpack(v0)), w[1], kv_unpack(v1));
  return plus(plus(two, w[2], kv_unpack(v2)), w[3], kv_unpack(v3));
}

// Attends to the cached positions own.origin .. to - 1, and stores the outputs. Contains barriers:
// call it in uniform control flow.
fn attend(own: Share, to: u32, query: Eight, start: Start, lane: u32) {
  let tile = SLICES * 4;
  let units = (p.pairs + 3) / 4;
  let place = place_of(lane);
  var soft = start.soft;
  var out = start.out;
  for (var i = lane; i < tile; i += UNITS * SLICES * FOURS) {
    places[i] = kv_at(own.token.table, min(own.origin + i, max(to, 1) - 1), own.kv_head) / 4;
  }
  workgroupBarrier();
  var side = 0u;
  for (var first = own.origin; first < to; first += tile) {
    let at0 = places[side + place.slice];
    let at1 = places[side + place.slice + SLICES];
    let at2 = places[side + place.slice + SLICES * 2];
    let at3 = places[side + place.slice + SLICES * 3];
    let key0 = key_unit(at0, place.unit);
    let key1 = key_unit(at1, place.unit);
    let key2 = key_unit(at2, place.unit);
    let key3 = key_unit(at3, place.unit);
    let value0 = value_unit(at0, place.unit);
    let value1 = value_unit(at1, place.unit);
    let value2 = value_unit(at2, place.unit);
    let value3 = value_unit(at3, place.unit);
    put(place, query, key0, key1, key2, key3);
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
    let made = soften(soft, place);
    soft = made.soft;
    out = add_values(out, made, value0, value1, value2, value3);
  }
  finish(out, soft, own.heads, own.row, place);
}
