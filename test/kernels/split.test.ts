// GGUF blocks split by SIMD kernels: bit for bit what ggml.split() of each format makes.

import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { MODULES } from "../../kernels/wasm.ts";
import { type Format, panelLayout, rowBlocks, rowPlanes, splitRows } from "../../src/tensor/format.ts";
import { weave } from "../../src/tensor/panels.ts";
import { generator } from "../support/random.ts";
import { simdBenches } from "../support/simd.ts";

/** Any bytes: every one is a block to a splitter. */
function randomBytes(count: number, seed: number): Uint8Array {
  const next = generator(seed);
  return Uint8Array.from({ length: count }, () => Math.floor(next() * 256));
}

const formats: readonly Format[] = Object.values(FORMATS);
const present = formats.filter(({ name, ggml }) => ggml && MODULES.simd128[name]);

describe.each(simdBenches())("$name", (bench) => {
  for (const format of present) {
    const { split } = bench.of(format);
    const ggml = format.ggml!;
    it.skipIf(!split)(
      `splits ${format.name} as the plain form does${split ? "" : ": there is no kernel, which the loader knows"}`,
      () => {
        // Blocks smaller than a group may end a row within one.
        const columns = [format.group, 3 * format.group, ...(ggml.type < 2 ? [format.group + 12] : [])];
        for (const cols of columns) {
          const rows = 5;
          const rowBytes = rowBlocks(format, cols);
          const blocks = randomBytes(rows * rowBytes, cols);
          const want = rowPlanes(format, rows, cols);
          splitRows(format, blocks, rows, cols, want);
          const [p0 = 0, p1 = 0, p2 = 0, p3 = 0] = want.map(({ length }) => bench.room(length));
          const at = bench.put(blocks);
          const groups = Math.ceil(cols / format.group);
          // Every third row of panels, from the second on.
          const [first, step] = [1, 3];
          const layout = panelLayout(format, first + step * rows, cols);
          const panels = layout.planes.map(({ rowBytes }) => new Uint8Array(layout.rows * rowBytes));
          weave(format, want, rows, first, step, panels);
          const [o0 = 0, o1 = 0, o2 = 0, o3 = 0] = panels.map(({ length }) => bench.room(length));
          const halves = format.planes.reduce((bits, { element }, p) => bits | (element === 2 ? 1 << p : 0), 0);
          const to = [p0, p1, p2, p3, first, step, halves, o0, o1, o2, o3];
          const args = [at, rowBytes, groups, ggml.bytes, format.group, ...to];
          for (const [from, end] of [
            [0, 1],
            [1, 5],
          ] as const)
            split!(from, end, 1, ...args);
          for (const [p, plane] of want.entries()) {
            expect(bench.bytes([p0, p1, p2, p3][p]!, plane.length)).toEqual(plane);
            expect(bench.bytes([o0, o1, o2, o3][p]!, panels[p]!.length)).toEqual(panels[p]);
          }
        }
      },
    );
  }
});
