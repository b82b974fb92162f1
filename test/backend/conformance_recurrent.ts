// Conformance of layers with states: sequences of different lengths in one step, over several
// steps, in slots that are copied, read and written.

import { describe, expect, it } from "vitest";
import type { Batch, KvStore, Ops } from "../../src/backend/ops.ts";
import type { StateStore } from "../../src/backend/recurrent.ts";
import type { Tensor } from "../../src/tensor/types.ts";
import { memorySource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import * as reference from "../support/reference.ts";
import { expectClose } from "../support/reference.ts";
import * as recurrent from "../support/reference_recurrent.ts";
import { batchOf, inputTable, range } from "../support/steps.ts";

/** Rows of sequences 0, 1 and 2 in each step. */
const STEPS = [
  [5, 1, 59],
  [1, 0, 2],
  [1, 1, 1],
  [0, 9, 1],
] as const;
const ROWS = 81; // of all sequences in all steps
/** Slots of the sequences: not their numbers. */
const SLOTS = [2, 0, 3];
/** f32 over 60 rows that depend on each other. */
const NMSE = 1e-8;

/**
 * The batches, and for each its rows' places among all rows of the sequences, one behind another.
 */
function steps(): { readonly batch: Batch; readonly rows: number[] }[] {
  const lengths = [0, 1, 2].map((s) => STEPS.reduce((sum, counts) => sum + counts[s]!, 0));
  const starts = [0, lengths[0]!, lengths[0]! + lengths[1]!];
  const reached = [0, 0, 0];
  return STEPS.map((counts) => {
    const [rows, positions, sequence]: number[][] = [[], [], []];
    const present = [0, 1, 2].filter((s) => counts[s]! > 0);
    for (const [index, s] of present.entries())
      for (let i = 0; i < counts[s]!; i++) {
        rows!.push(starts[s]! + reached[s]!);
        positions!.push(reached[s]!++);
        sequence!.push(index);
      }
    const T = rows!.length;
    return {
      rows: rows!,
      batch: batchOf(T, {
        tokens: Uint32Array.from(rows!),
        positions: Uint32Array.from(positions!),
        sequence: Uint32Array.from(sequence!),
        tables: present.map(() => Uint32Array.of()),
        states: Uint32Array.from(present, (s) => SLOTS[s]!),
        outputs: range(T),
      }),
    };
  });
}

/** Where each sequence's rows are among all. */
function* sequences() {
  let first = 0;
  for (const s of [0, 1, 2]) {
    const count = STEPS.reduce((sum, counts) => sum + counts[s]!, 0);
    yield { first, count };
    first += count;
  }
}

async function storeOf(ops: Ops, states: readonly number[]): Promise<KvStore & { readonly states: StateStore }> {
  const store = ops.createKv({ layers: 1, kvHeads: 1, headDim: 8, states }, "f32", 16);
  await store.states!.reserve(4);
  return store as KvStore & { readonly states: StateStore };
}

export function recurrentConformance(ops: () => Ops): void {
  const vector = (data: Float32Array) => ops().loadVector(memorySource("vector", data, 1, data.length));

  /** All rows' results of a verb over all steps, [ROWS, width]. */
  async function run(width: number, verb: () => Tensor, between: (step: number) => void = () => {}) {
    const all = new Float32Array(ROWS * width);
    for (const [i, { batch, rows }] of steps().entries()) {
      ops().begin(batch);
      const y = await ops().read(verb());
      for (const [t, row] of rows.entries()) all.set(y.subarray(t * width, (t + 1) * width), row * width);
      between(i);
    }
    return all;
  }

  describe("states", () => {
    it.each([
      { channels: 130, taps: 4, gated: false },
      { channels: 33, taps: 3, gated: true },
    ])("a convolution of $channels channels, $taps taps, gated: $gated", async ({ channels: C, taps, gated }) => {
      const width = gated ? 3 * C : C;
      const [x, w] = [uniform(ROWS * width, 810), uniform(taps * C, 820)];
      const store = await storeOf(ops(), [7, (taps - 1) * C]);
      const [table, weights] = [await inputTable(ops(), x, width), await vector(w)];
      const conv = { channels: C, taps, weights, gated };
      const want = new Float64Array(ROWS * C);
      for (const { first, count } of sequences()) {
        const own = x.subarray(first * width, (first + count) * width);
        want.set(recurrent.conv(own, w, C, gated), first * C);
      }
      const verb = () => ops().recurrent!.conv(store.states, 1, ops().embed(table), conv);
      expectClose(await run(C, verb), want, C, NMSE);
      // Once more over the same slots, and with the states moved elsewhere and back between steps.
      const moved = await run(C, verb, (step) => {
        if (step % 2 === 1) return;
        store.states.copy(SLOTS[0]!, 1);
        store.states.copy(SLOTS[2]!, SLOTS[0]!);
        store.states.copy(1, SLOTS[0]!);
      });
      expectClose(moved, want, C, NMSE);
      store.close();
    });

    it.each([
      { keyHeads: 2, valueHeads: 4, keyDim: 8, valueDim: 12, tiled: false },
      { keyHeads: 2, valueHeads: 6, keyDim: 37, valueDim: 21, tiled: true },
      { keyHeads: 1, valueHeads: 1, keyDim: 128, valueDim: 128, tiled: false },
    ])("the delta rule of $valueHeads heads of [$keyDim, $valueDim], tiled: $tiled", async (shape) => {
      const { keyHeads, valueHeads, keyDim, valueDim } = shape;
      const [values, width] = [valueHeads * valueDim, 2 * keyHeads * keyDim + valueHeads * valueDim];
      const [x, g] = [uniform(ROWS * width, 830, 2), uniform(ROWS * 2 * valueHeads, 840, 3)];
      const [aLog, dtBias] = [uniform(valueHeads, 850), uniform(valueHeads, 860)];
      const store = await storeOf(ops(), [valueHeads * keyDim * valueDim]);
      const [table, gates] = [await inputTable(ops(), x, width), await inputTable(ops(), g, 2 * valueHeads)];
      const delta = { ...shape, aLog: await vector(aLog), dtBias: await vector(dtBias) };
      const want = new Float64Array(ROWS * values);
      for (const { first, count } of sequences()) {
        const own = (all: Float32Array) =>
          all.subarray((first * all.length) / ROWS, ((first + count) * all.length) / ROWS);
        want.set(recurrent.deltaRule(own(x), own(g), aLog, dtBias, shape), first * values);
      }
      const verb = () => ops().recurrent!.delta(store.states, 0, ops().embed(table), ops().embed(gates), delta);
      expectClose(await run(values, verb), want, values, NMSE);
      store.close();
    });

    it("gates, with a norm or without", async () => {
      const [T, D, run] = [9, 60, 20];
      const [x, g, w] = [uniform(T * D, 870, 3), uniform(T * D, 880, 9), uniform(run, 890, 2)];
      const [xs, gs, norm] = [await inputTable(ops(), x, D), await inputTable(ops(), g, D), await vector(w)];
      const normed = reference.rmsNorm(x, w, 1e-5);
      ops().begin(batchOf(T));
      const gated = await ops().read(ops().recurrent!.gate(ops().embed(xs), ops().embed(gs)));
      expectClose(
        gated,
        Float64Array.from(x, (value, i) => value / (1 + Math.exp(-g[i]!))),
        D,
      );
      ops().begin(batchOf(T));
      const both = await ops().read(ops().recurrent!.gatedNorm(ops().embed(xs), ops().embed(gs), norm, 1e-5));
      expectClose(
        both,
        normed.map((value, i) => (value * g[i]!) / (1 + Math.exp(-g[i]!))),
        D,
      );
    });

    it("slots are read and written, and grow", async () => {
      const { states, close } = await storeOf(ops(), [6, 3]).then((store) => ({
        states: store.states,
        close: () => store.close(),
      }));
      expect([states.slots, states.slotBytes]).toEqual([4, 36]);
      const contents = Uint8Array.from({ length: 36 }, (_, i) => (i % 4 === 3 ? 63 : i)); // finite f32
      await states.write(2, contents);
      states.copy(2, 0);
      await states.reserve(7);
      expect(await states.read(0)).toEqual(contents);
      expect(await states.read(2)).toEqual(contents);
      await expect(states.read(7)).rejects.toThrow("slot 7 does not exist; 7 are reserved");
      await expect(states.write(1, contents.subarray(1))).rejects.toThrow("a slot has 36 bytes, found 35");
      close();
    });

    it("rows out of order and missing slots are refused", async () => {
      const C = 8;
      const store = await storeOf(ops(), [2 * C]);
      const conv = { channels: C, taps: 3, weights: await vector(uniform(3 * C, 895)), gated: false };
      const table = await inputTable(ops(), uniform(4 * C, 896), C);
      const say = (parts: Partial<Batch>) => () => {
        ops().begin(batchOf(4, { tables: [range(1), range(1)], ...parts }));
        ops().recurrent!.conv(store.states, 0, ops().embed(table), conv);
      };
      const states = Uint32Array.of(0, 1);
      expect(say({ sequence: Uint32Array.of(0, 1, 0, 0), states })).toThrow("rows of sequence 0 are not adjacent");
      expect(say({ positions: Uint32Array.of(0, 1, 3, 4), states })).toThrow("rows of sequence 0 are not adjacent");
      expect(say({})).toThrow("sequence 0 has no state (4 slots are reserved)");
      expect(say({ states: Uint32Array.of(4) })).toThrow("sequence 0 has no state (4 slots are reserved)");
      store.close();
    });
  });
}
