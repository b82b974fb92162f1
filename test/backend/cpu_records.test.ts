// packRecord: an expert in memory that held something else is, byte for byte, what the definition
// of a record says.

import { afterEach, describe, expect, it } from "vitest";
import { AUTOMATIC, FORMATS } from "../../kernels/formats/index.ts";
import { Heap } from "../../src/backend/cpu/heap.ts";
import { KernelModules } from "../../src/backend/cpu/modules.ts";
import { startNodeWorker } from "../../src/backend/cpu/node_threads.ts";
import { Pool } from "../../src/backend/cpu/pool.ts";
import { SimdHeaps } from "../../src/backend/cpu/simd_heaps.ts";
import { packRecord } from "../../src/backend/cpu/simd_load.ts";
import { planesOf, weave } from "../../src/tensor/panels.ts";
import { recordLayout } from "../../src/tensor/record.ts";
import { blocksSource, expertSource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { recordOf } from "../support/records.ts";

const modules = new KernelModules("simd128");
const pools: Pool[] = [];
afterEach(() => {
  for (const pool of pools.splice(0)) pool.close();
});

async function memory(threads: number) {
  const module = await modules.base();
  const home = await Heap.create(module);
  const pool = new Pool(module, home, threads, startNodeWorker);
  pools.push(pool);
  return { home, heaps: new SimdHeaps(modules, home, pool) };
}

describe.each(AUTOMATIC)("packRecord in %s", (precision) => {
  it.each([
    [64, 96, 1],
    [60, 50, 1], // padding of rows and of columns
    [33, 7, 2],
    [2100, 600, 2], // several pieces
  ])("hidden size %i, intermediate size %i, %i threads", async (hidden, intermediate, threads) => {
    const { home, heaps } = await memory(threads);
    const size = hidden * intermediate;
    const data = { w1: uniform(size, 1), w3: uniform(size, 2), w2: uniform(size, 3) };
    const shape = { count: 1, hidden, intermediate, up: FORMATS[precision], down: FORMATS[precision] };
    const { bytes } = recordLayout(shape);
    const at = home.allocate(bytes + 64, "a record and what follows it");
    home.bytes.fill(0xaa, at, at + bytes + 64);
    await packRecord(heaps, expertSource("e", data, hidden, intermediate), shape, home, at);
    const want = recordOf(shape, data);
    expect(Buffer.compare(home.bytes.slice(at, at + bytes), want)).toBe(0);
    expect(home.bytes.slice(at + bytes, at + bytes + 64).every((byte) => byte === 0xaa)).toBe(true);
  });

  it.skipIf(FORMATS[precision].ggml === undefined)("blocks of a GGUF file", async () => {
    const { home, heaps } = await memory(2);
    const format = FORMATS[precision];
    const [hidden, intermediate] = [2 * format.group, 3 * format.group];
    const shape = { count: 1, hidden, intermediate, up: format, down: format };
    const layout = recordLayout(shape);
    const w1 = blocksSource("w1", format, intermediate, hidden, 1);
    const w3 = blocksSource("w3", format, intermediate, hidden, 2);
    const w2 = blocksSource("w2", format, hidden, intermediate, 3);
    const at = home.allocate(layout.bytes, "a record");
    home.bytes.fill(0xaa, at, at + layout.bytes);
    await packRecord(heaps, { w1, w3, w2 }, shape, home, at);
    const want = new Uint8Array(layout.bytes);
    weave(format, w1.planes, intermediate, 0, 2, planesOf(layout.up, want));
    weave(format, w3.planes, intermediate, 1, 2, planesOf(layout.up, want));
    weave(format, w2.planes, hidden, 0, 1, planesOf(layout.down, want.subarray(layout.downOffset)));
    expect(Buffer.compare(home.bytes.slice(at, at + layout.bytes), want)).toBe(0);
  });

  it("ends with the signal's reason", async () => {
    const { home, heaps } = await memory(1);
    const shape = { count: 1, hidden: 32, intermediate: 32, up: FORMATS[precision], down: FORMATS[precision] };
    const at = home.allocate(recordLayout(shape).bytes, "a record");
    const zeros = new Float32Array(1024);
    const source = expertSource("e", { w1: zeros, w3: zeros, w2: zeros }, 32, 32);
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(packRecord(heaps, source, shape, home, at, { signal })).rejects.toThrow("enough");
  });
});
