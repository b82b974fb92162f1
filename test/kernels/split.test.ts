// GGUF blocks split by SIMD kernels: bit for bit what ggml.split() of each format makes.

import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { MODULES } from "../../kernels/wasm.ts";
import { type Format, ggmlTypes, panelLayout, rowBlocks, rowPlanes } from "../../src/tensor/format.ts";
import { splitSides } from "../../src/tensor/load.ts";
import { generator } from "../support/random.ts";
import { simdBenches } from "../support/simd.ts";

/** Any bytes: every one is a block to a splitter. */
function randomBytes(count: number, seed: number): Uint8Array {
  const next = generator(seed);
  return Uint8Array.from({ length: count }, () => Math.floor(next() * 256));
}

const formats: readonly Format[] = Object.values(FORMATS);
const present = formats
  .filter(({ name }) => MODULES.simd128[name])
  .flatMap((format) => ggmlTypes(format).map((ggml) => ({ format, ggml })));

describe.each(simdBenches())("$name", (bench) => {
  for (const { format, ggml } of present) {
    const { split } = bench.of(format);
    const title = `splits type ${ggml.type} to ${format.name} as the plain form does`;
    it.skipIf(!split)(split ? title : `${title}: there is no kernel, which the loader knows`, () => {
      const book = ggml.codebook ? bench.put(ggml.codebook) : 0;
      // Blocks smaller than a group may end a row within one.
      const columns = [format.group, 3 * format.group, ...(ggml.type < 2 ? [format.group + 12] : [])];
      for (const [cols, sides] of columns.flatMap((cols) => [1, 2].map((sides) => [cols, sides] as const))) {
        // Of two matrices rows alternate.
        const rows = 12;
        const rowBytes = rowBlocks(format, ggml, cols);
        const blocks = Array.from({ length: sides }, (_, i) => randomBytes((rows / sides) * rowBytes, cols + i));
        const layout = panelLayout(format, rows, cols);
        const panels = layout.planes.map(({ rowBytes }) => new Uint8Array(layout.rows * rowBytes));
        splitSides(
          format,
          blocks.map((bytes) => ({ ggml, bytes })),
          rows,
          cols,
          rowPlanes(format, rows, cols),
          panels,
        );
        const planes = rowPlanes(format, rows, cols);
        const [p0 = 0, p1 = 0, p2 = 0, p3 = 0] = planes.map(({ length }) => bench.room(length));
        const at = blocks.map((side) => bench.put(side));
        const groups = Math.ceil(cols / format.group);
        const [o0 = 0, o1 = 0, o2 = 0, o3 = 0] = panels.map(({ length }) => bench.room(length));
        const halves = format.planes.reduce((bits, { element }, p) => bits | (element === 2 ? 1 << p : 0), 0);
        const to = [p0, p1, p2, p3, halves, o0, o1, o2, o3];
        const args = [at[0]!, at.at(-1)!, sides, rowBytes, groups, ggml.bytes, format.group, book, ...to];
        for (const [from, end] of [
          [0, 1],
          [1, 12],
        ] as const)
          split!(from, end, 1, ...args);
        for (const [p, panel] of panels.entries())
          expect(bench.bytes([o0, o1, o2, o3][p]!, panel.length)).toEqual(panel);
      }
    });
  }
});
