// Experts of folders that are not packed: packed once, kept in a file, packed again only without
// room for it.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import type { HostExperts } from "../../src/backend/experts.ts";
import { fileSpill } from "../../src/experts/node_spill.ts";
import { recordReader, type Spill } from "../../src/experts/record_reader.ts";
import type { ExpertSource } from "../../src/tensor/types.ts";

const BYTES = 4096;

function lab(spill: Spill | null) {
  const slots = Array.from({ length: 3 }, () => new Uint8Array(BYTES));
  const packed: string[] = [];
  let under = 0;
  const experts: HostExperts = {
    shape: { count: 4, hidden: 8, intermediate: 8, up: FORMATS.q4, down: FORMATS.q4 },
    slots: 3,
    recordBytes: BYTES,
    slot: (slot) => slots[slot]!,
    async convert(source, slot) {
      expect(++under).toBe(1); // one at a time
      await new Promise((resolve) => setTimeout(resolve, 1));
      packed.push(source.w1.name);
      slots[slot]!.fill(Number(source.w1.name));
      under--;
    },
    compute() {},
    close() {},
  };
  const source = (name: string): ExpertSource => {
    const matrix = { name, rows: 8, cols: 8, readRows: () => Promise.resolve() };
    return { w1: matrix, w2: matrix, w3: matrix };
  };
  const sources = [0, 1].map((layer) => [0, 1, 2, 3].map((expert) => source(String(10 * layer + expert))));
  const reader = recordReader(sources, experts, spill);
  const how = { signal: new AbortController().signal, urgent: () => true, bypass: false };
  return { slots, packed, read: (layer: number, expert: number, slot: number) => reader(layer, expert, slot, how) };
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
    expect(slots.map((slot) => [...new Set(slot)])).toEqual([[10], [12], [3]]);
    await spill.close();
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
      await spill?.close();
    }
  });
});
