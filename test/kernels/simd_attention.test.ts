// The SIMD attention kernel against float64: odd head sizes and groups, blocks, windows, ragged
// batches, cut in pieces.

import { describe, expect, it } from "vitest";
import { packQ8 } from "../../kernels/append_q8.ts";
import { headBytes } from "../../src/backend/kv_block.ts";
import type { KvPrecision } from "../../src/backend/ops.ts";
import { HALF_TO_FLOAT, toFiniteHalf } from "../../src/tensor/half.ts";
import { generator, uniform } from "../support/random.ts";
import * as reference from "../support/reference.ts";
import { expectClose } from "../support/reference.ts";
import { type SimdBench, simdBenches } from "../support/simd.ts";
import { some } from "../support/some.ts";

interface Case {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly blockSize: number;
  readonly window: number;
  /** The scale of the scores; default 1 / sqrt(headDim). */
  readonly scale?: number;
  /** Whether heads have sinks. */
  readonly sinks?: boolean;
  readonly kv: KvPrecision;
  /** For each sequence the first position of its tokens in the batch, and how many there are. */
  readonly runs: readonly (readonly [from: number, count: number])[];
  /** Largest absolute value of queries and keys. */
  readonly range?: number;
}

interface Prepared {
  /** Computes units [from, to) as thread `thread` of three. */
  readonly run: (from: number, to: number, thread: number) => void;
  readonly units: number;
  readonly got: () => Float32Array;
  readonly want: Float64Array;
}

const THREADS = 3;
const MARK = 12345; // what lies where nothing may be written

/** Rows of q8, all of them NaN where no position lies: their scales are. */
function q8Plane(plane: Float32Array, { headDim }: Case, rotated: boolean): Uint8Array {
  const bytes = headBytes(headDim, "q8");
  const rows = new Uint8Array((plane.length / headDim) * bytes).fill(0xff);
  for (let row = 0; row * headDim < plane.length; row++)
    if (!Number.isNaN(plane[row * headDim]!))
      packQ8(plane, row * headDim, headDim, rotated, rows, row * bytes, new Float64Array(headDim));
  return rows;
}

/** As the kernel counts them: keys of q8 are rotated. */
const KINDS = { f32: 0, f16: 1, q8: 3 } as const;

/**
 * A batch in a bench's memory: blocks in no order, NaN wherever no position of the sequence lies.
 */
function prepare({ kernels, put, room, floats }: SimdBench, c: Case): Prepared {
  const { heads, kvHeads, headDim, blockSize, window, kv, runs, range = 2, scale = 1 / Math.sqrt(headDim) } = c;
  const logits = c.sinks ? uniform(heads, 98, 6) : undefined;
  const T = runs.reduce((sum, [, count]) => sum + count, 0);
  const row = kvHeads * headDim;
  const width = heads * headDim + 2 * row;
  const elements = blockSize * row; // of a plane
  const next = generator(1);
  const keyOffset = 64; // of a block: something else, the keys, a gap, the values
  const planeBytes = blockSize * kvHeads * headBytes(headDim, kv);
  const valueOffset = keyOffset + planeBytes + 12;
  const geometry = { heads, kvHeads, headDim, scale, window: window || null, ...(logits && { logits }) };
  const timeline = new reference.Timeline(kv, geometry);
  const tables = runs.map(([from, count], s) => {
    const values = uniform((from + count) * 2 * row, 2 + s, range);
    for (let p = 0; p < from + count; p++) timeline.append(s, p, values.subarray(p * 2 * row, (p + 1) * 2 * row));
    const ids = Array.from({ length: Math.ceil((from + count) / blockSize) }, (_, b) => b).sort(() => next() - 0.5);
    const addresses = new Uint32Array(ids.length);
    for (const b of ids) {
      const planes = [0, 1].map((side) => {
        const plane = new Float32Array(elements).fill(Number.NaN);
        for (let slot = 0; slot < blockSize && b * blockSize + slot < from + count; slot++)
          for (let i = 0; i < row; i++) plane[slot * row + i] = values[((b * blockSize + slot) * 2 + side) * row + i]!;
        if (kv === "q8") return q8Plane(plane, c, side === 0);
        return kv === "f16" ? Uint16Array.from(plane, toFiniteHalf) : plane;
      });
      // NaN as f32 and as f16
      const block = new Uint8Array(valueOffset + planeBytes).fill(0xff);
      block.set(new Uint8Array(planes[0]!.buffer), keyOffset);
      block.set(new Uint8Array(planes[1]!.buffer), valueOffset);
      addresses[b] = put(block);
      room(8); // blocks do not touch
    }
    // given back
    if (window > 0) addresses.fill(0xfffffff0, 0, Math.floor(Math.max(0, from + 1 - window) / blockSize));
    return put(addresses);
  });
  const tokens = runs.flatMap(([from, count], s) => Array.from({ length: count }, (_, i) => ({ s, p: from + i })));
  const x = uniform(T * width, 99, range);
  const want = tokens.flatMap(({ s, p }, t) => [
    ...timeline.attend(s, p, x.subarray(t * width, t * width + heads * headDim), geometry),
  ]);
  const scratchBytes = kernels.attentionScratch!(blockSize, heads, kvHeads, headDim, headDim, KINDS[kv]);
  const size = T * heads * headDim;
  const q = put(x);
  const positions = put(Uint32Array.from(tokens, ({ p }) => p));
  const table = put(Uint32Array.from(tokens, ({ s }) => tables[s]!));
  const scratch = put(new Float32Array((THREADS * scratchBytes) / 4).fill(Number.NaN));
  const y = put(new Float32Array(size + 4).fill(MARK));
  const shape = [
    keyOffset,
    valueOffset,
    blockSize,
    heads,
    kvHeads,
    headDim,
    scale,
    logits ? put(logits) : 0,
    window,
    KINDS[kv],
  ];
  return {
    run: (from, to, thread) =>
      kernels.attention!(
        from,
        to,
        thread,
        q,
        width,
        positions,
        table,
        ...shape,
        scratch,
        scratchBytes,
        y,
        headDim,
        kvHeads,
      ),
    units: T * kvHeads,
    got: () => {
      expect(floats(y + size * 4, 4)).toEqual(new Float32Array(4).fill(MARK));
      return floats(y, size);
    },
    want: Float64Array.from(want),
  };
}

const BASE: Case = { heads: 4, kvHeads: 2, headDim: 16, blockSize: 16, window: 0, kv: "f32", runs: [[0, 40]] };

const CASES: readonly Case[] = (
  [
    {},
    { runs: [[0, 1]] },
    { headDim: 2, heads: 1, kvHeads: 1, runs: [[3, 5]] },
    { headDim: 6, heads: 3, kvHeads: 1, blockSize: 4, runs: [[0, 23]] },
    { headDim: 80, heads: 7, kvHeads: 1, blockSize: 32, runs: [[50, 9]] },
    { headDim: 128, heads: 8, kvHeads: 2, blockSize: 32, runs: [[0, 70]] },
    { headDim: 128, heads: 32, kvHeads: 8, blockSize: 32, runs: [[99, 1]] },
    {
      headDim: 64,
      heads: 3,
      kvHeads: 1,
      runs: [
        [40, 1],
        [9, 1],
      ],
    },
    {
      headDim: 8,
      heads: 2,
      kvHeads: 2,
      blockSize: 4,
      runs: [
        [50, 1],
        [0, 1],
      ],
    },
    { headDim: 20, heads: 40, kvHeads: 1, runs: [[30, 5]] },
    { headDim: 32, heads: 8, kvHeads: 4, blockSize: 32, runs: [[997, 3]] },
    { headDim: 10, heads: 6, kvHeads: 6, blockSize: 6, runs: [[5, 30]] },
    { scale: 0.3, runs: [[0, 40]] },
    { sinks: true, runs: [[0, 40]] },
    { sinks: true, headDim: 80, heads: 7, kvHeads: 1, blockSize: 32, window: 9, runs: [[50, 9]] },
    { scale: 1 / 64, headDim: 128, runs: [[9, 30]] },
    { window: 1, runs: [[0, 40]] },
    { window: 5, headDim: 6, heads: 6, kvHeads: 2, blockSize: 4, runs: [[7, 33]] },
    { window: 17, runs: [[60, 40]] },
    { window: 16, headDim: 80, blockSize: 32, runs: [[63, 2]] },
    { window: 100, runs: [[0, 40]] },
    {
      window: 7,
      blockSize: 32,
      runs: [
        [100, 1],
        [3, 1],
        [31, 2],
        [0, 9],
        [0, 1],
      ],
    },
    {
      runs: [
        [20, 1],
        [5, 30],
        [40, 1],
        [0, 17],
        [0, 2],
      ],
    },
    {
      headDim: 128,
      heads: 8,
      kvHeads: 2,
      runs: [
        [20, 1],
        [16, 1],
        [15, 1],
        [64, 1],
        [0, 1],
      ],
    },
  ] satisfies Partial<Case>[]
).flatMap((change) => (["f32", "f16", "q8"] as const).map((kv) => ({ ...BASE, ...change, kv })));

describe.each(simdBenches())("attention, $name", (bench) => {
  it.each(some(CASES, 12))(
    "H $heads, Hkv $kvHeads, Dh $headDim, blocks of $blockSize, window $window, $kv, runs $runs",
    (c) => {
      const whole = prepare(bench, c);
      whole.run(0, whole.units, 0);
      const width = c.heads * c.headDim;
      // In q8 values that lie between two levels may be the other one in float64.
      expectClose(whole.got(), whole.want, width, c.kv === "q8" ? 1e-5 : 1e-10);

      const cut = prepare(bench, c);
      const cuts = [0, 1, 3, 4, 9, 10, 31].filter((at) => at < cut.units);
      const pieces = cuts.map((at, i) => [at, cuts[i + 1] ?? cut.units] as const).reverse();
      const group = (c.heads / c.kvHeads) * c.headDim;
      pieces.forEach(([from, to], i) => {
        cut.run(from, to, i % THREADS);
        // The units before the piece are still to come.
        expect(cut.got().subarray(0, from * group)).toEqual(new Float32Array(from * group).fill(MARK));
      });
      expect(cut.got()).toEqual(whole.got());
    },
  );

  it.each(["f32", "f16"] as const)("scores in the thousands, %s", (kv) => {
    const c: Case = { ...BASE, headDim: 128, kv, runs: [[0, 60]], range: 60 };
    const { run, units, got, want } = prepare(bench, c);
    run(0, units, 0);
    // A score of several thousand has an error of 1e-3 in f32, and so has its weight where another
    // is near.
    expectClose(got(), want, c.heads * c.headDim, 1e-5);
  });

  it("scores that are all equal, and all far below zero", () => {
    const { kernels, put, room, floats } = bench;
    const [heads, kvHeads, headDim, blockSize] = [2, 1, 4, 8];
    for (const level of [0, -1e30, 1e30, -200]) {
      const keys = new Float32Array(blockSize * headDim).fill(level);
      const values = Float32Array.from({ length: blockSize * headDim }, (_, i) => i);
      const block = put(new Float32Array([...keys, ...values]));
      const y = room(heads * headDim * 4);
      const scratchBytes = kernels.attentionScratch!(blockSize, heads, kvHeads, headDim, headDim, 0);
      const at = [put(new Float32Array(heads * headDim).fill(1)), heads * headDim, put(Uint32Array.of(6))];
      const table = put(Uint32Array.of(put(Uint32Array.of(block))));
      const shape = [0, keys.byteLength, blockSize, heads, kvHeads, headDim, 0.5, 0, 0, 0];
      kernels.attention!(0, 1, 0, ...at, table, ...shape, room(scratchBytes), scratchBytes, y, headDim, 1);
      expectClose(floats(y, heads * headDim), Float32Array.of(12, 13, 14, 15, 12, 13, 14, 15), 8, 1e-12);
    }
  });

  it("f16 values of every size, denormals among them", () => {
    const { kernels, put, room, floats } = bench;
    const headDim = 64;
    for (let from = 0; from < 0x7c00; from += headDim * 8) {
      const values = Uint16Array.from({ length: headDim * 8 }, (_, i) => (from + i) | ((i & 1) << 15));
      const block = put(Uint16Array.from([...new Uint16Array(headDim * 8), ...values]));
      const y = room(headDim * 4);
      const scratchBytes = kernels.attentionScratch!(8, 1, 1, headDim, headDim, 1);
      const at = [put(new Float32Array(headDim)), headDim, put(Uint32Array.of(7))];
      const table = put(Uint32Array.of(put(Uint32Array.of(block))));
      const shape = [0, values.byteLength, 8, 1, 1, headDim, 0.125, 0, 0, 1];
      kernels.attention!(0, 1, 0, ...at, table, ...shape, room(scratchBytes), scratchBytes, y, headDim, 1);
      const mean = Float64Array.from({ length: headDim }, (_, d) => {
        let sum = 0;
        for (let p = 0; p < 8; p++) sum += HALF_TO_FLOAT[values[p * headDim + d]!]! / 8;
        return sum;
      });
      expectClose(floats(y, headDim), mean, headDim, 1e-12);
    }
  });
});
