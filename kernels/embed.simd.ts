// y[t] = table[tokens[t]]: rows of the embedding table, unpacked.

import { EXACT, weights } from "./lib/simd/format.simd";
import { panelsOf, planeOf, scaleAt } from "./lib/simd/planes.simd";
import { scratchOf } from "./lib/simd/scratch.simd";

/** Where a thread unpacks weights to, in its scratch. */
const UNPACKED: usize = 1024;

/** Rows [from, to) of y [T, D]; tokens [T], each below the table's V rows; w [V, groups * 32]. */
export function embed(
  from: u32,
  to: u32,
  thread: u32,
  tokens: usize,
  w: usize,
  groups: usize,
  V: u32,
  D: u32,
  y: usize,
): void {
  const scratch = scratchOf(thread);
  const panels = panelsOf(V);
  const bytes = <usize>D * 4;
  for (let t = <usize>from; t < <usize>to; t++) {
    const row = <usize>load<u32>(tokens + t * 4);
    const panel = row >> 3;
    const lane = row & 7;
    const p0 = planeOf(0, w, panels, panel, groups);
    const p1 = planeOf(1, w, panels, panel, groups);
    const p2 = planeOf(2, w, panels, panel, groups);
    const p3 = planeOf(3, w, panels, panel, groups);
    const yp = y + t * bytes;
    for (let g: usize = 0; g * 128 < bytes; g++) {
      const from = weights(p0, p1, p2, p3, g, scratch + UNPACKED) + lane * 4;
      let scale: f32 = 1;
      if (!EXACT) {
        v128.store(scratch, scaleAt(p1, p2, p3, g, lane >> 2));
        scale = load<f32>(scratch + (lane & 3) * 4);
      }
      const end = min<usize>(bytes, g * 128 + 128);
      for (let at = g * 128, v = from; at < end; at += 4, v += 32)
        store<f32>(yp + at, EXACT ? load<f32>(v) : load<f32>(v) * scale);
    }
  }
}
