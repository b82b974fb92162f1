// Panels from sources: in pieces of any size, rows alternating, with padding, by ranges, and stored
// ones as they are.

import { describe, expect, it } from "vitest";
import { AUTOMATIC, FORMATS } from "../../kernels/formats/index.ts";
import { WeightsError } from "../../src/errors.ts";
import { concatRows } from "../../src/model/sources.ts";
import { type Format, panelLayout } from "../../src/tensor/format.ts";
import {
  BlocksAhead,
  expertPanels,
  loadPanels,
  matrixPanels,
  type PanelSource,
  plainWork,
} from "../../src/tensor/load.ts";
import { planesOf, rowsOfPanels, weave } from "../../src/tensor/panels.ts";
import { storedExpert, storedMatrix } from "../../src/tensor/stored.ts";
import { type BlocksSource, blocksSource, expertSource, memorySource, packedSource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { panelsOf, recordOf } from "../support/records.ts";

/** Makes all panels of a source, where something else was, from `first` on in two ranges. */
async function load(source: PanelSource, pieceBytes: number, first = 0): Promise<Uint8Array> {
  const { layout, rows } = source;
  const bytes = new Uint8Array(layout.bytes).fill(0xaa);
  const planes = planesOf(layout, bytes);
  const done: number[] = [];
  const target = {
    planes: (row: number, count: number) => rowsOfPanels(layout.planes, planes, row, count),
    done: (row: number, count: number) => void done.push(row, count),
  };
  if (first > 0) await loadPanels(source, plainWork(pieceBytes), target, { rows: first });
  await loadPanels(source, plainWork(pieceBytes), target, { first });
  expect(done.filter((_, i) => i % 2 === 1).reduce((a, b) => a + b, 0)).toBe(rows);
  return bytes;
}

function stored(bytes: Uint8Array) {
  const read = async (offset: number, into: Uint8Array): Promise<void> =>
    into.set(bytes.subarray(offset, offset + into.length));
  return { bytes: bytes.length, read };
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

describe.each(AUTOMATIC)("loadPanels in %s", (name) => {
  const format = FORMATS[name];
  it.each([
    [1, 1, 16],
    [13, 70, 1], // a piece of eight rows at least
    [97, 60, 5000],
    [64, 64, 2 ** 20],
  ])("a matrix [%i, %i] in pieces of %i bytes", async (rows, cols, pieceBytes) => {
    const data = uniform(rows * cols, rows);
    const want = panelsOf(format, data, rows, cols);
    const sources = [
      memorySource("m", data, rows, cols),
      packedSource("m", data, rows, cols, format),
      storedMatrix("m", rows, cols, { format, ...stored(want) }),
    ];
    for (const source of sources)
      for (const first of rows > 16 ? [0, 16, 64] : [0])
        expect(same(await load(matrixPanels(source, format), pieceBytes, first), want)).toBe(true);
  });

  it("an expert, of rows or of a record, with another format for w2", async () => {
    const [D, F] = [60, 50];
    const data = { w1: uniform(F * D, 1), w3: uniform(F * D, 2), w2: uniform(D * F, 3) };
    const shape = { count: 1, hidden: D, intermediate: F, up: format, down: FORMATS.q8 };
    const record = recordOf(shape, data);
    const kept = storedExpert("e", shape, { up: format, down: FORMATS.q8, ...stored(record) });
    for (const source of [expertSource("e", data, D, F), kept]) {
      const { up, down } = expertPanels(source, format, FORMATS.q8);
      expect(up.stored === null).toBe(source !== kept);
      const made = [await load(up, 1000, 16), await load(down, 1000)] as const;
      expect(same(made[0], record.subarray(0, made[0].length))).toBe(true);
      const at = Math.ceil(made[0].length / 64) * 64;
      expect(same(made[1], record.subarray(at, at + made[1].length))).toBe(true);
    }
  });
});

describe.each((Object.values(FORMATS) as readonly Format[]).filter(({ ggml }) => ggml))("blocks of $name", (format) => {
  const { group } = format;
  /** Panels of planes [rows, cols], as the definitions make them. */
  const woven = (sources: readonly BlocksSource[], rows: number, cols: number) => {
    const layout = panelLayout(format, rows, cols);
    const bytes = new Uint8Array(layout.bytes);
    for (const [side, { planes }] of sources.entries())
      weave(format, planes, rows / sources.length, side, sources.length, planesOf(layout, bytes));
    return bytes;
  };

  it.each([
    [5, group, 1], // a piece of eight rows at least
    [100, 2 * group, 1000],
  ])("a matrix [%i, %i] in pieces of %i bytes", async (rows, cols, pieceBytes) => {
    const source = blocksSource("m", format, rows, cols, 3);
    for (const first of rows > 16 ? [0, 16] : [0])
      expect(same(await load(matrixPanels(source, format), pieceBytes, first), woven([source], rows, cols))).toBe(true);
    expect(source.reads.open).toBe(0);
    if (rows > 16) expect(source.reads.most).toBeGreaterThan(1); // read ahead
  });

  it("two matrices whose rows alternate, one of them joined of two", async () => {
    const [rows, cols] = [24, group];
    const w1 = blocksSource("w1", format, rows, cols, 4);
    const parts = [blocksSource("w3 a", format, 8, cols, 5), blocksSource("w3 b", format, 16, cols, 6)];
    const w3 = concatRows("w3", parts);
    const both = { ...parts[0]!, planes: format.planes.map((_, p) => Buffer.concat(parts.map((x) => x.planes[p]!))) };
    const w2 = blocksSource("w2", format, 8, cols, 7);
    const { up } = expertPanels({ w1, w3, w2 }, format, format);
    expect(same(await load(up, 1), woven([w1, both], 2 * rows, cols))).toBe(true);
  });

  it("two matrices by one reader: the second is asked for before the first is whole", async () => {
    const sources = [9, 10].map((seed) => blocksSource(`m${seed}`, format, 100, group, seed));
    const panels = sources.map((source) => matrixPanels(source, format));
    const ranges = panels.map((source) => ({ source, first: 0, rows: source.rows }));
    const events: string[] = [];
    const work = plainWork(1);
    const ahead = new BlocksAhead(ranges, work, { asked: () => events.push("all asked for") });
    for (const [i, source] of panels.entries()) {
      const bytes = new Uint8Array(source.layout.bytes);
      const planes = planesOf(source.layout, bytes);
      const target = {
        planes: (row: number, count: number) => rowsOfPanels(source.layout.planes, planes, row, count),
        done: () => void (i === 0 && events.push(`second asked: ${sources[1]!.reads.most > 0}`)),
      };
      await loadPanels(source, work, target, { ahead });
      events.push("whole");
      expect(same(bytes, woven([sources[i]!], 100, group))).toBe(true);
    }
    await ahead.end();
    const first = events.slice(0, events.indexOf("whole"));
    expect(first.at(0)).toBe("second asked: false");
    expect(first.at(-1)).toBe("second asked: true");
    expect(events.slice(events.indexOf("whole"))).toEqual(["whole", "all asked for", "whole"]);
  });

  it("ends with a read's error when no read is in flight", async () => {
    const source = blocksSource("m", format, 100, group, 8);
    const readBlocks: typeof source.readBlocks = async (first, count, into) => {
      if (first === 16) throw new WeightsError("a short file");
      await source.readBlocks!(first, count, into);
    };
    await expect(load(matrixPanels({ ...source, readBlocks }, format), 1)).rejects.toThrow("a short file");
    expect(source.reads.open).toBe(0);
  });
});

it("says so where a source has not the format and nothing packs to it", async () => {
  const { pack: _, ...rest } = FORMATS.q4;
  const format: Format = { ...rest, name: "q4_x" };
  const source = matrixPanels(memorySource("m", uniform(64, 1), 2, 32), format);
  await expect(load(source, 1000)).rejects.toThrow(WeightsError);
});

it("ends with the signal's reason", async () => {
  const source = matrixPanels(memorySource("m", uniform(64, 1), 2, 32), FORMATS.f32);
  const target = { planes: () => [new Uint8Array(1024)] };
  const signal = AbortSignal.abort(new Error("enough"));
  await expect(loadPanels(source, plainWork(), target, { signal })).rejects.toThrow("enough");
});
