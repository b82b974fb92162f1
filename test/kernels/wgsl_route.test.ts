// route.wgsl by itself: any number of experts in the shapes that the host gives it, and the rows
// that it leaves for the experts.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { numbersOf } from "../../src/backend/webgpu/step/routing.ts";
import { usualForms } from "../../src/backend/webgpu/tuning/rows.ts";
import { Tuning } from "../../src/backend/webgpu/tuning/tuning.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { type KernelBench, openKernels } from "../support/kernels.ts";
import { integers } from "../support/random.ts";
import * as reference from "../support/reference.ts";
import { expectClose } from "../support/reference.ts";
import { some } from "../support/some.ts";

const EPS = 1e-5;

/** Rows of f32 as panels of eight. */
function panels(w: Float32Array, D: number, padded: number): Float32Array<ArrayBuffer> {
  const rows = w.length / D;
  const woven = new Float32Array(Math.ceil(rows / 8) * 8 * padded);
  for (let r = 0; r < rows; r++)
    for (let d = 0; d < D; d++) woven[(Math.floor(r / 8) * padded + d) * 8 + (r % 8)] = w[r * D + d]!;
  return woven;
}

describe.skipIf(noAdapter)(`route in WGSL${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  const benches = adapters.flatMap(({ name }) => [true, false].map((subgroups) => ({ name, subgroups })));
  if (benches.length === 0) it("needs an adapter", () => Promise.reject(new Error(NO_ADAPTER)));

  describe.each(some(benches, 2))("$name, subgroups $subgroups", ({ name, subgroups }) => {
    let bench: KernelBench;
    beforeAll(async () => {
      bench = await openKernels(name, subgroups);
    });
    afterAll(() => bench?.close());

    /** Two rows of integers, so that equal logits are equal however they are summed. */
    async function routed(E: number, K: number, D: number, rows: 1 | 2, alter?: (x: Float32Array) => void) {
      const T = 2;
      const groups = Math.ceil(D / 32);
      const gate = integers(E * D, E, 2);
      const norm = new Float32Array(groups * 32);
      norm.set(integers(D, 2, 2).map(Math.abs));
      const x = new Float32Array(T * groups * 32);
      for (let t = 0; t < T; t++) x.set(integers(D, 3 + t, 3), t * groups * 32);
      alter?.(x);
      const abilities = { arithmetics: ["f32"], subgroup: subgroups ? 32 : null, matrix: null } as const;
      const tuning = new Tuning({ ...abilities, tile: "registers", forms: usualForms(false), software: false });
      const { threads, teams, reduce, arithmetic } = tuning.route({ format: FORMATS.f32, groups }, E);
      const part = Uint32Array.from([0, 1, 0, E, 0, 0, 0, 0, 0, groups, 0, 0]);
      const [ids, all] = [new Uint32Array(T * K), new Float32Array(T * K + T)];
      const share = integers(D, 9, 2).map((value) => value / 64);
      // as int8_stride.wgsl
      const y = new Uint32Array(T * (rows === 1 ? groups * 32 : groups * 8 + Math.ceil(groups / 4) * 4));
      const w = panels(gate, D, groups * 32);
      const { RULE, ...numbers } = numbersOf(SOFTMAX, false);
      await bench.run({
        name: "route",
        n: T,
        variant: { weights: "f32", arithmetic, reduce },
        params: { D, eps: EPS, K, ...numbers, share_at: T * K },
        overrides: {
          ...{ BIAS: 0, THREADS: threads, TEAM: threads / teams, NORM: 1, ROWS: rows, EXPERTS: E, RULE, SHARE: 1 },
        },
        buffers: {
          ...{ w, part, x, norm, bias: new Float32Array(4), ids, weights: all, y },
          share: panels(share, D, groups * 32),
        },
      });
      const own = Float32Array.from({ length: T * D }, (_, i) => x[Math.floor(i / D) * groups * 32 + (i % D)]!);
      const normed = reference.rmsNorm(own, norm.subarray(0, D), EPS);
      // Integers times the norm's root: equal logits are exactly equal before it.
      const whole = own.map((value, i) => value * norm[i % D]!);
      const shares = reference.matmul(normed, share, D).map((logit) => 1 / (1 + Math.exp(-logit)));
      return { ids, weights: all.subarray(0, T * K), y, normed, whole, gate, shares, gotShares: all.subarray(T * K) };
    }

    it.each([
      { E: 1, K: 1, D: 40 },
      { E: 8, K: 2, D: 4096 },
      { E: 13, K: 13, D: 32 },
      { E: 300, K: 8, D: 96 },
      { E: 1024, K: 9, D: 64 },
    ])("E $E, K $K, D $D: experts, and the rows in f32", async ({ E, K, D }) => {
      const { ids, weights, y, normed, whole, gate, shares, gotShares } = await routed(E, K, D, 1);
      expectClose(gotShares, Float64Array.from(shares), 1);
      expect([...ids]).toEqual(reference.route(whole, gate, D, K).ids);
      const logits = reference.matmul(normed, gate, D);
      const exps = [...ids].map((id, i) =>
        Math.exp(logits[Math.floor(i / K) * E + id]! - logits[Math.floor(i / K) * E + ids[i - (i % K)]!]!),
      );
      const want = exps.map((e, i) => e / exps.slice(i - (i % K), i - (i % K) + K).reduce((a, b) => a + b));
      expectClose(weights, Float64Array.from(want), K);
      const [rows, stride] = [new Float32Array(y.buffer), y.length / 2];
      const kept = Float32Array.from(normed, (_, i) => rows[Math.floor(i / D) * stride + (i % D)]!);
      expectClose(kept, normed, D);
    });

    it("leaves rows in int8", async () => {
      const [D, T] = [72, 2];
      const { y, normed } = await routed(8, 2, D, 2);
      const stride = y.length / T;
      const [quants, scales] = [new Int8Array(y.buffer), new Float32Array(y.buffer)];
      for (let t = 0; t < T; t++)
        for (let d = 0; d < D; d++) {
          const group = normed.slice(t * D + d - (d % 32), t * D + Math.min(D, d - (d % 32) + 32));
          const scale = group.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127;
          expect(scales[t * stride + Math.floor(stride / 9) * 8 + Math.floor(d / 32)]).toBeCloseTo(scale, 6);
          expect(Math.abs(quants[t * stride * 4 + d]! * scale - normed[t * D + d]!)).toBeLessThan(0.501 * scale);
        }
    });

    it("gives experts that exist where logits are NaN", async () => {
      const { ids } = await routed(8, 3, 32, 1, (x) => x.fill(Number.NaN, 0, 32));
      expect([...ids].every((id) => id < 8)).toBe(true);
      expect(new Set(ids.subarray(0, 3)).size).toBe(3);
    });
  });
});
