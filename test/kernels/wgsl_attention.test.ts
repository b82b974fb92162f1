// The WGSL forms of attention over caches of every length, in every number of
// splits, against float64.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mostSplits } from "../../src/backend/webgpu/step/attention.ts";
import { HALF_TO_FLOAT, toHalf } from "../../src/tensor/half.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { type KernelBench, openKernels } from "../support/kernels.ts";
import { uniform } from "../support/random.ts";
import { expectClose } from "../support/reference.ts";
import { shown, some } from "../support/some.ts";
import { attentionOf } from "../support/steps.ts";

const LENGTHS = [1, 63, 64, 65, 4096, 32768];
const BLOCK = 16;

interface Shape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly window: number; // 0: none
  readonly kv: "f32" | "f16";
  readonly lengths: readonly number[];
  readonly sinks?: boolean;
  readonly registers?: "few" | "many";
}

/** One in two runs without CI=true, of which one has more than four heads a kv head. */
const SHAPES: readonly Shape[] = [
  { heads: 4, kvHeads: 1, headDim: 128, window: 0, kv: "f16", lengths: LENGTHS },
  { heads: 6, kvHeads: 1, headDim: 32, window: 4000, kv: "f32", lengths: LENGTHS },
  { heads: 6, kvHeads: 2, headDim: 10, window: 64, kv: "f16", lengths: LENGTHS },
  { heads: 2, kvHeads: 2, headDim: 64, window: 0, kv: "f16", lengths: [1, 65, 130] },
  { heads: 10, kvHeads: 2, headDim: 24, window: 70, kv: "f32", lengths: [1, 63, 65, 700], sinks: true },
  { heads: 9, kvHeads: 1, headDim: 256, window: 0, kv: "f32", lengths: [1, 65, 130] },
];

/** As GPUs of few registers compute it: heads of one four and of two. */
const ON_FEW_REGISTERS: readonly Shape[] = [
  { heads: 4, kvHeads: 1, headDim: 32, window: 0, kv: "f16", lengths: [1, 63, 65, 700], registers: "few" },
  { heads: 6, kvHeads: 1, headDim: 24, window: 70, kv: "f32", lengths: [1, 65, 130], sinks: true, registers: "few" },
];

/** Where a long sequence takes ten seconds. */
const SHORT = SHAPES.map((shape) => ({ ...shape, lengths: [1, 63, 65, 700] }));

/** One token for each length, all of one sequence whose blocks lie in no order. */
function problem({ heads, kvHeads, headDim, window, kv, lengths, sinks }: Shape) {
  const T = lengths.length;
  const most = Math.max(...lengths);
  const blocks = Math.ceil(most / BLOCK);
  const table = Uint32Array.from({ length: blocks }, (_, i) => (i * 1025 + 7) % blocks);
  const step = new Uint32Array(T * 4 + blocks);
  step.set(lengths.flatMap((length) => [0, length - 1, T * 4, 0]));
  step.set(table, T * 4);
  const padded = Math.ceil(headDim / 8) * 8;
  const cache = (seed: number) => {
    const stored = Float32Array.from(uniform(blocks * BLOCK * kvHeads * padded, seed), (x, i) =>
      i % padded >= headDim ? 0 : kv === "f16" ? HALF_TO_FLOAT[toHalf(x)]! : x,
    );
    if (kv === "f32") return { stored, buffer: stored };
    const halves = Uint16Array.from(stored, toHalf);
    return { stored, buffer: new Uint32Array(halves.buffer) };
  };
  const keys = cache(1);
  const values = cache(2);
  const stride = Math.ceil(((heads + 2 * kvHeads) * headDim) / 32) * 32;
  const qkv = Float32Array.from(uniform(T * stride, 3, 4));
  const logits = Float32Array.from(uniform(heads, 4, 6));
  const want = new Float64Array(T * heads * headDim);
  lengths.forEach((length, t) => {
    for (let h = 0; h < heads; h++) {
      const q = qkv.subarray(t * stride + h * headDim, t * stride + (h + 1) * headDim);
      const first = window > 0 ? Math.max(0, length - window) : 0;
      const rowAt = (position: number) => {
        const slot = table[Math.floor(position / BLOCK)]! * BLOCK + (position % BLOCK);
        return (slot * kvHeads + Math.floor((h * kvHeads) / heads)) * padded;
      };
      const scores = Float64Array.from({ length: length - first }, (_, i) => {
        const at = rowAt(first + i);
        let sum = 0;
        for (let d = 0; d < headDim; d++) sum += q[d]! * keys.stored[at + d]!;
        return sum / Math.sqrt(headDim);
      });
      const sink = sinks ? logits[h]! : Number.NEGATIVE_INFINITY;
      const max = scores.reduce((a, b) => Math.max(a, b), sink);
      const total = scores.reduce((sum, score) => sum + Math.exp(score - max), Math.exp(sink - max));
      scores.forEach((score, i) => {
        const at = rowAt(first + i);
        const weight = Math.exp(score - max) / total;
        for (let d = 0; d < headDim; d++) want[(t * heads + h) * headDim + d]! += weight * values.stored[at + d]!;
      });
    }
  });
  return { T, step, keys: keys.buffer, values: values.buffer, caches: { keys, values }, qkv, stride, logits, want };
}

describe.skipIf(noAdapter)(`attention in WGSL${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  // Without subgroups the form is one, wherever it runs.
  const benches = adapters.flatMap(({ name, leftToFaster: slow }) =>
    (slow ? [true] : [true, false]).map((subgroups) => ({ name, subgroups, slow })),
  );
  describe.each(some(benches, 1))("$name, subgroups $subgroups", ({ name, subgroups, slow }) => {
    const usual = slow ? shown(SHORT, ({ heads }) => heads !== 2) : some(SHAPES, 2);
    const shapes = [...usual, ...ON_FEW_REGISTERS].map((shape) => ({ registers: "many", ...shape }) as const);
    let bench: KernelBench;
    beforeAll(async () => {
      bench = await openKernels(name, subgroups);
    });
    afterAll(() => bench?.close());

    it.each(shapes)(
      "H $heads, Hkv $kvHeads, Dh $headDim, window $window, kv $kv, $registers registers",
      async (shape) => {
        const { heads, kvHeads, headDim, window, kv, lengths } = shape;
        const { T, step, keys, values, qkv, stride, logits, want } = problem(shape);
        const width = heads * headDim;
        const rowOfParts = width + 2 * heads;
        const units = Math.ceil(headDim / 8);
        const fours = heads / kvHeads > 4 ? 2 : 1;
        const slices = Math.min(16, Math.floor(128 / fours / units));
        const shares = Math.max(1, 2 ** Math.ceil(Math.log2(headDim / 16)));
        const params = {
          ...{ block: BLOCK, heads, kv_heads: kvHeads, pairs: headDim / 2, window, scale: 1 / Math.sqrt(headDim) },
          ...{
            stride,
            y_stride: width,
            abreast: Math.min(heads / kvHeads, 256 / shares),
            chunk: shares < 16 ? 8 : 4,
            most: 1,
            unshared: 0,
            slices,
            skip: 0,
          },
        };
        const count = Uint32Array.of(T, 0, 0, 0);
        const cached = { step, qkv, keys, values, sinks: logits };
        const SINKS = shape.sinks ? 1 : 0;
        const overrides = { SINKS, UNITS: units, SLICES: slices, FOURS: fours, SHARES: shares };
        const variant = { kv, ...(shape.registers === "few" && { registers: shape.registers }) };
        const common = { variant, n: T, overrides };

        const runs = Uint32Array.from(lengths.flatMap((_, t) => [t, 1]));
        const whole = new Float32Array(T * width).fill(Number.NaN);
        const byRuns = new Float32Array(T * width).fill(Number.NaN);
        await bench.run(
          { ...common, name: "attention_split", params, buffers: { ...cached, count, y: whole } },
          { ...common, name: "attention", params, buffers: { ...cached, runs, y: byRuns } },
        );
        expectClose(whole, want, width);
        expectClose(byRuns, want, width);

        for (const each of [2, 5, 64]) {
          // What lies in the splits that have no positions must not matter.
          const parts = new Float32Array(T * each * rowOfParts).fill(Number.NaN);
          const y = new Float32Array(T * width).fill(Number.NaN);
          const most = T * each;
          const split = { ...params, y_stride: rowOfParts, most };
          await bench.run(
            { ...common, name: "attention_split", params: split, buffers: { ...cached, count, y: parts } },
            {
              n: T,
              name: "attention_reduce",
              overrides: { SINKS },
              params: { ...params, stride: rowOfParts, most },
              buffers: { count, x: parts, sinks: logits, y },
            },
          );
          expectClose(y, want, width);
        }

        // By itself each token finds its own key and value in qkv, and leaves them in the cache.
        const few = [1, 63, 65, 130];
        const near = problem({ ...shape, lengths: few });
        const padded = Math.ceil(headDim / 8) * 8;
        const words = (padded * (kv === "f16" ? 2 : 4)) / 4; // of a head
        for (const [t, length] of few.entries()) {
          const slot = near.step[few.length * 4 + Math.floor((length - 1) / BLOCK)]! * BLOCK + ((length - 1) % BLOCK);
          const own = { from: slot * kvHeads * words, to: (slot + 1) * kvHeads * words };
          const row = new Float32Array(stride);
          row.set(near.qkv.subarray(t * stride, t * stride + width));
          for (let h = 0; h < kvHeads; h++)
            for (const [i, { stored }] of [near.caches.keys, near.caches.values].entries()) {
              const at = (slot * kvHeads + h) * padded;
              row.set(stored.subarray(at, at + headDim), width + (i * kvHeads + h) * headDim);
            }
          const alone = Uint32Array.of(0, length - 1, 4, 0, ...near.step.subarray(few.length * 4));
          for (const most of [1, 5]) {
            const [k, v] = [near.keys.slice(), near.values.slice()];
            for (const cache of [k, v]) cache.fill(kv === "f16" ? 0x7e007e00 : Number.NaN, own.from, own.to);
            const parts = new Float32Array(most * rowOfParts).fill(Number.NaN);
            const y = new Float32Array(width).fill(Number.NaN);
            const one = { count: Uint32Array.of(1, 0, 0, 0), sinks: near.logits };
            const turned = { turned: 0, q_size: 1, k_size: 1, eps: 0, clip: 0 };
            await bench.run(
              {
                ...{ name: "attention_turn", variant, n: 1, overrides: { ...overrides, NORM: 0, CLIP: 0 } },
                params: { ...params, ...turned, most, y_stride: most > 1 ? rowOfParts : width },
                buffers: {
                  ...one,
                  step: alone,
                  qkv: row,
                  norms: near.logits,
                  angles: near.logits,
                  keys: k,
                  values: v,
                  y: most > 1 ? parts : y,
                },
              },
              ...(most > 1
                ? [
                    {
                      ...{ name: "attention_reduce" as const, n: 1, overrides: { SINKS } },
                      params: { ...params, stride: rowOfParts, most },
                      buffers: { ...one, x: parts, y },
                    },
                  ]
                : []),
            );
            expectClose(y, near.want.subarray(t * width, (t + 1) * width), width);
            expect([k, v].map((cache) => cache.subarray(own.from, own.to))).toEqual(
              [near.keys, near.values].map((cache) => cache.subarray(own.from, own.to)),
            );
          }
        }
      },
    );
  });
});

describe("splits of a step", () => {
  const mixtral = attentionOf(32, 8, 128);

  it("follow the store's size up to what fills a device, and stay there", () => {
    const most = [16, 64, 128, 1024, 4096, 32768, 2 ** 20].map((positions) => mostSplits(positions, mixtral, false));
    expect(most).toEqual([1, 1, 2, 16, 64, 64, 64]);
    expect(mostSplits(32768, mixtral, true)).toBe(1);
    expect(mostSplits(32768, { ...mixtral, heads: 4, kvHeads: 1 }, true)).toBe(4);
  });
});
