// Experts of folders that are not packed: packed once, kept in a file, packed again only without
// room for it.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import type { HostExperts } from "../../src/backend/experts.ts";
import { fileSpill } from "../../src/experts/node_spill.ts";
import type { ReadHow } from "../../src/experts/piece_reader.ts";
import { Conversions, recordReader, type Spill } from "../../src/experts/record_reader.ts";
import type { ExpertSource, MatrixSource } from "../../src/tensor/types.ts";

const BYTES = 4096;

function lab(
  spill: Spill | null,
  held: Partial<MatrixSource> = {},
  shared = { conversions: new Conversions(), under: 0 },
) {
  const slots = Array.from({ length: 3 }, () => new Uint8Array(BYTES));
  const packed: string[] = [];
  const experts: HostExperts = {
    shape: { count: 4, hidden: 8, intermediate: 8, up: FORMATS.q4, down: FORMATS.q4 },
    slots: 3,
    recordBytes: BYTES,
    slot: (slot) => slots[slot]!,
    async convert(source, slot) {
      expect(++shared.under).toBe(1); // one at a time
      await new Promise((resolve) => setTimeout(resolve, 1));
      packed.push(source.w1.name);
      slots[slot]!.fill(Number(source.w1.name));
      shared.under--;
    },
    compute() {},
    close() {},
  };
  const source = (name: string): ExpertSource => {
    const matrix = { name, rows: 8, cols: 8, readRows: () => Promise.resolve(), ...held };
    return { w1: matrix, w2: matrix, w3: matrix };
  };
  const sources = [0, 1].map((layer) => [0, 1, 2, 3].map((expert) => source(String(10 * layer + expert))));
  const reader = recordReader(sources, experts, spill, shared.conversions);
  const now: ReadHow = { signal: new AbortController().signal, urgent: () => true, bypass: false };
  const read = (layer: number, expert: number, slot: number, how = now) => reader(layer, expert, slot, how);
  return { slots, packed, read };
}

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "hotset-spill-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

describe("records that have to be packed", () => {
  it("are packed once, one after the other, and then read from an unlinked file", async () => {
    const folder = temporary();
    const spill = fileSpill(folder);
    const { slots, packed, read } = lab(spill);
    await Promise.all([read(1, 2, 0), read(0, 3, 1), read(1, 0, 2)]);
    expect(packed).toEqual(["12", "3", "10"]);
    expect(readdirSync(folder)).toEqual([]);
    await Promise.all([read(1, 0, 0), read(1, 2, 1), read(0, 3, 2)]);
    expect(packed.length).toBe(3);
    expect([spill.bytes, spill.refused]).toEqual([3 * BYTES, null]);
    expect(slots.map((slot) => [...new Set(slot)])).toEqual([[10], [12], [3]]);
    await spill.close();
  });

  it("that a step waits for go before those that are prefetched", async () => {
    const { packed, read } = lab(null);
    const waits = { now: false };
    const later = { signal: new AbortController().signal, urgent: () => waits.now, bypass: false };
    const prefetch = { ...later, urgent: () => false };
    const reads = [read(0, 0, 0, prefetch), read(0, 1, 1, prefetch), read(0, 2, 2, later), read(0, 3, 0)];
    waits.now = true; // a step came to need what was prefetched
    await Promise.all(reads);
    expect(packed).toEqual(["0", "2", "3", "1"]);
  });

  it("are packed one at a time for all classes of experts, which share their working memory", async () => {
    const shared = { conversions: new Conversions(), under: 0 };
    const classes = [lab(null, {}, shared), lab(null, {}, shared)];
    await Promise.all(classes.flatMap(({ read }) => [read(0, 0, 0), read(1, 1, 1), read(0, 2, 2)]));
    expect(classes.map(({ packed }) => packed)).toEqual([
      ["0", "11", "2"],
      ["0", "11", "2"],
    ]);
  });

  it("fail by themselves: the next one is packed", async () => {
    const { packed, read } = lab(null);
    const signal = AbortSignal.abort(new Error("enough"));
    const gone = read(0, 0, 0, { signal, urgent: () => true, bypass: false });
    const next = read(0, 1, 1);
    await expect(gone).rejects.toThrow("enough");
    await next;
    expect(packed).toEqual(["1"]);
  });

  it("are read from their file again where that has blocks of the slots' formats", async () => {
    const spill: Spill = {
      bytes: 0,
      refused: null,
      write: () => Promise.reject(new Error("nothing is to be kept")),
      read: () => Promise.reject(new Error("nothing was kept")),
      close: async () => {},
    };
    const { packed, read } = lab(spill, { format: FORMATS.q4, ggml: FORMATS.q4.ggml!, readBlocks: async () => {} });
    await read(0, 1, 0);
    await read(0, 1, 2);
    expect(packed).toEqual(["1", "1"]);
  });

  it("are read from blocks one after the other, the next from when the one before has asked for all", async () => {
    const conversions = new Conversions();
    const running: { name: string; lane: number; asked: () => void; end: (error?: Error) => void }[] = [];
    const how: ReadHow = { signal: new AbortController().signal, urgent: () => true, bypass: false };
    const reads = ["0", "1", "2"].map((name) =>
      conversions.inTurn(how, true, (beside) => {
        return new Promise((resolve, reject) => {
          running.push({ name, ...beside, end: (error) => (error ? reject(error) : resolve()) });
        });
      }),
    );
    const settled = () => new Promise((resolve) => setImmediate(resolve));
    expect(running.map(({ name, lane }) => [name, lane])).toEqual([["0", 0]]);
    running[0]!.asked();
    running[0]!.asked(); // once more says nothing of the next one
    await settled();
    expect(running.map(({ name, lane }) => [name, lane])).toEqual([
      ["0", 0],
      ["1", 1],
    ]);
    running[1]!.asked();
    await settled();
    expect(running.length).toBe(2); // there are two lanes
    running[0]!.end();
    await settled();
    expect(running.at(-1)).toMatchObject({ name: "2", lane: 0 });
    running[1]!.end(new Error("a short file"));
    running[2]!.end();
    expect((await Promise.allSettled(reads)).map(({ status }) => status)).toEqual([
      "fulfilled",
      "rejected",
      "fulfilled",
    ]);
  });

  it("that a step waits for begin beside one that is read ahead, and what is given up makes room", async () => {
    const conversions = new Conversions();
    const running: { name: string; end: () => void }[] = [];
    const [gone, late] = [new AbortController(), new AbortController()];
    const start = (name: string, urgent: boolean, signal = new AbortController().signal) =>
      conversions.inTurn({ signal, urgent: () => urgent, bypass: false }, true, () => {
        return new Promise((resolve) => running.push({ name, end: resolve }));
      });
    const names = () => running.map(({ name }) => name);
    const reads = [start("ahead", false, gone.signal), start("later", false, late.signal)];
    const given = expect(reads[1]).rejects.toThrow("not used");
    expect(names()).toEqual(["ahead"]); // it still asks
    reads.push(start("needed", true));
    expect(names()).toEqual(["ahead", "needed"]);
    reads.push(start("needed too", true));
    late.abort(new Error("not used"));
    await given;
    gone.abort(new Error("not used"));
    expect(names().length).toBe(2); // its memory is still written to
    running[0]!.end();
    running[1]!.end();
    await Promise.all([reads[0], reads[2]]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(names()).toEqual(["ahead", "needed", "needed too"]);
    running[2]!.end();
    await reads[3];
  });

  it("are packed again if there is no place to keep them", async () => {
    const folder = temporary();
    const file = join(folder, "no folder");
    writeFileSync(file, "");
    for (const spill of [null, fileSpill(file)]) {
      const { slots, packed, read } = lab(spill);
      await read(0, 1, 0);
      await read(0, 1, 2);
      expect(packed).toEqual(["1", "1"]);
      expect(slots[2]![17]).toBe(1);
      if (spill) expect([spill.bytes, spill.refused]).toEqual([0, expect.stringContaining(file)]);
      await spill?.close();
    }
  });
});
