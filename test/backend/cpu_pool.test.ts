// Threads of the CPU backend: work is done once each, and a thread that fails or ends is an error,
// not a hang.

import { afterEach, describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { ACTIVE, controlOf } from "../../src/backend/cpu/control.ts";
import { Heap } from "../../src/backend/cpu/heap.ts";
import { KernelModules } from "../../src/backend/cpu/modules.ts";
import { startNodeWorker } from "../../src/backend/cpu/node_threads.ts";
import { Pool, type PoolWorker } from "../../src/backend/cpu/pool.ts";
import { DeviceError } from "../../src/errors.ts";
import { cpuOps } from "../support/cpu.ts";
import { memorySource, packPlanes } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { batchOf } from "../support/steps.ts";

const modules = new KernelModules("simd128");
const module = await modules.base();
const pools: Pool[] = [];
afterEach(() => {
  for (const pool of pools.splice(0)) pool.close();
});

async function poolOf(threads: number, start: (() => PoolWorker) | null, patienceMs?: number) {
  const home = await Heap.create(module);
  const pool = new Pool(module, home, threads, start, patienceMs);
  pools.push(pool);
  return { home, pool };
}

/** Adds 1 to n floats on the pool and returns how many of them are then not `expected`. */
function addOnes(pool: Pool, heap: Heap, x: number, ones: number, n: number, expected: number): number {
  pool.run("add", heap, n, 8, x, ones);
  return heap.floats.subarray(x / 4, x / 4 + n).reduce((wrong, value) => wrong + (value === expected ? 0 : 1), 0);
}

describe("pool", () => {
  it("does every unit of every job once, whether its workers have started, spin or sleep", async () => {
    const { home, pool } = await poolOf(4, startNodeWorker);
    const n = 1000;
    const x = home.allocate(4 * n, "x");
    const ones = home.allocate(4 * n, "ones");
    home.floats.fill(0, x / 4, x / 4 + n);
    home.floats.fill(1, ones / 4, ones / 4 + n);
    let done = 0;
    const burst = (jobs: number): void => {
      for (let job = 0; job < jobs; job++) expect(addOnes(pool, home, x, ones, n, ++done)).toBe(0);
    };
    burst(10); // the workers are still being started
    await new Promise((resolve) => setTimeout(resolve, 300));
    burst(3000);
    for (let i = 0; i < 20; i++) {
      // long enough for workers to fall asleep
      await new Promise((resolve) => setTimeout(resolve, 5));
      burst(5);
    }
  });

  it("runs jobs in a memory that was added later", async () => {
    const { pool } = await poolOf(3, startNodeWorker);
    for (let i = 0; i < 5; i++) {
      const heap = await Heap.create(module);
      pool.add(heap);
      const n = 4000;
      const x = heap.allocate(4 * n, "x");
      const ones = heap.allocate(4 * n, "ones");
      heap.floats.fill(1, ones / 4, ones / 4 + n);
      for (let job = 1; job <= 50; job++) expect(addOnes(pool, heap, x, ones, n, job)).toBe(0);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });

  it.each([1, 3])("runs kernels of modules that were added later, in any memory (%i threads)", async (threads) => {
    const { home, pool } = await poolOf(threads, startNodeWorker);
    const other = await Heap.create(module);
    pool.add(other);
    for (const format of [FORMATS.f32, FORMATS.f16]) {
      const own = await modules.of(format);
      const number = pool.addModule(own);
      for (const heap of [home, other]) {
        const bound = await heap.bind(own, number);
        const [rows, cols] = [500, 32];
        const data = uniform(rows * cols, 1);
        const want = packPlanes(format, data, rows, cols)[0]!;
        const [x, out] = [heap.allocate(data.byteLength, "x"), heap.allocate(want.length, "out")];
        heap.floats.set(data, x / 4);
        for (let job = 0; job < 50; job++) {
          heap.bytes.fill(0xaa, out, out + want.length);
          pool.run("pack", bound, rows, 8, x, cols, format.group, 0, out);
          expect(Buffer.compare(heap.bytes.slice(out, out + want.length), want)).toBe(0);
        }
      }
    }
  });

  it.each([1, 3])(
    "does every unit of a job in pieces once, with turns and other jobs in between (%i threads)",
    async (threads) => {
      const { home, pool } = await poolOf(threads, startNodeWorker);
      const n = 3000;
      const [x, y, ones] = ["x", "y", "ones"].map((name) => home.allocate(4 * n, name)) as [number, number, number];
      home.floats.fill(0, x / 4, x / 4 + n);
      home.floats.fill(0, y / 4, y / 4 + n);
      home.floats.fill(1, ones / 4, ones / 4 + n);
      const values = () => new Set(home.floats.subarray(x / 4, x / 4 + n));
      let others = 0;
      for (let job = 1; job <= 60; job++) {
        let pieces = 0;
        for (const _ of pool.pieces("add", home, n, 16, [x, ones])) {
          pieces++;
          if (pieces % 5 === 2) await new Promise((resolve) => setImmediate(resolve));
          if (job % 3 === 0 && pieces === 3) expect(addOnes(pool, home, y, ones, n, ++others)).toBe(0);
        }
        expect(values()).toEqual(new Set([job]));
      }
      // An abandoned job: pieces that were not started are not computed, and the next job works.
      for (const _ of pool.pieces("add", home, n, 16, [x, ones])) break;
      expect([...values()].filter((value) => value !== 60 && value !== 61)).toEqual([]);
      expect(addOnes(pool, home, y, ones, n, ++others)).toBe(0);
      if (threads === 1)
        expect(home.floats.subarray(x / 4, x / 4 + n).filter((value) => value === 61)).toHaveLength(16);
    },
  );

  it("has one thread where there are no workers", async () => {
    const { pool } = await poolOf(8, null);
    expect(pool.threads).toBe(1);
  });

  it("gives up a worker that stopped in the middle of a job, with a DeviceError then and afterwards", async () => {
    // Takes part in a job and never leaves it, as a thread does that the system killed.
    const dead = (): PoolWorker => ({
      post: (message) => {
        if ("control" in message) Atomics.add(controlOf(message.control).state, ACTIVE, 1);
      },
      onEnd: () => {},
      stop: () => {},
    });
    const { home, pool } = await poolOf(2, dead, 300);
    const x = home.allocate(4000, "x");
    expect(() => pool.run("add", home, 1000, 8, x, x)).toThrow(DeviceError);
    expect(() => pool.run("add", home, 1000, 8, x, x)).toThrow(
      /has stopped in the middle of its work.*open the model again/,
    );
  });

  it.each([0, 300])("lets its workers out of their loop when it closes after %s ms", async (ms) => {
    // stop() alone is not enough in a page, which waits two seconds for a worker that does not come
    // back to its events.
    let ended: (reason: string) => void = () => {};
    const reason = new Promise<string>((resolve) => {
      ended = resolve;
    });
    const workers: PoolWorker[] = [];
    const { home, pool } = await poolOf(2, () => {
      const worker = startNodeWorker();
      worker.onEnd(ended);
      workers.push(worker);
      return { ...worker, stop: () => {} };
    });
    const x = home.allocate(4000, "x");
    pool.run("add", home, 1000, 8, x, x);
    await new Promise((resolve) => setTimeout(resolve, ms)); // it is still being started, or asleep
    pool.close();
    // Only a worker that is out of its loop finds this, and fails.
    workers[0]!.post({ memory: {} as WebAssembly.Memory });
    expect(await reason).toMatch(/WebAssembly/);
    workers[0]!.stop();
  });

  it("reports a kernel that fails in a worker", async () => {
    let fail: (reason: string) => void = () => {};
    const failing = (): PoolWorker => ({
      post: () => {},
      onEnd: (ended) => {
        fail = ended;
      },
      stop: () => {},
    });
    const { home, pool } = await poolOf(2, failing);
    const x = home.allocate(4000, "x");
    pool.run("add", home, 1000, 8, x, x);
    fail("memory access out of bounds");
    expect(() => pool.run("add", home, 1000, 8, x, x)).toThrow(DeviceError);
    expect(() => pool.run("add", home, 1000, 8, x, x)).toThrow(
      /thread 1 of the CPU backend failed: memory access out of bounds/,
    );
  });
});

describe("a worker that ends", () => {
  it("makes the next verb a DeviceError", async () => {
    const workers: PoolWorker[] = [];
    const ops = await cpuOps({
      maxTokens: 8,
      startWorker: () => {
        const worker = startNodeWorker();
        workers.push(worker);
        return worker;
      },
    });
    const w = await ops.loadMatrix(memorySource("w", uniform(64 * 64, 1), 64, 64), FORMATS.q8);
    const step = async () => {
      ops.begin(batchOf(8));
      await ops.read(ops.matmul(ops.embed(w), w));
    };
    await step();
    const ended = new Promise((resolve) => workers[0]!.onEnd(resolve));
    workers[0]!.stop();
    await ended;
    await expect(step()).rejects.toThrow(DeviceError);
    await expect(step()).rejects.toThrow(/thread 1 of the CPU backend failed: it ended with exit code \d/);
    ops.close();
  });
});
