// On the CPU a row's results do not depend on the rows beside it, in any format: a step of several
// tokens gives each of them, to the bit, what a step of its own would (Ops.rowsAgree).

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FORMATS, type FormatName } from "../../kernels/formats/index.ts";
import type { Ops } from "../../src/backend/ops.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import { cpuInstructions, cpuOps } from "../support/cpu.ts";
import { expertSource, memorySource, sourceFor } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { some } from "../support/some.ts";
import { attentionOf, batchOf, inputTable, range } from "../support/steps.ts";

const ROWS = 17;
/** Tokens of a step: passes of four, three and two, and several. */
const STEPS = [2, 3, 4, 5, 8, 17];

/** The plain kernels compute row by row in every format. */
const PLAIN: readonly FormatName[] = ["f32", "q4"];

/** How many values differ. */
function apart(one: Float32Array, other: Float32Array): number {
  return one.reduce((sum, value, i) => sum + Number(value !== other[i]), 0) + Math.abs(one.length - other.length);
}

for (const instructions of cpuInstructions())
  describe(`rows on the CPU by ${instructions}`, () => {
    let ops: Ops;
    beforeAll(async () => {
      ops = await cpuOps({ maxTokens: ROWS, instructions, threads: 1 });
    });
    afterAll(() => ops.close());

    /** What `verb` makes of each token: [T, n], in steps of T tokens from `first` on. */
    async function steps(T: number, verb: (tokens: Uint32Array) => Promise<Float32Array>): Promise<Float32Array> {
      const all: Float32Array[] = [];
      for (let first = 0; first < ROWS; first += T)
        all.push(await verb(range(ROWS).slice(first, Math.min(ROWS, first + T))));
      return Float32Array.from(all.flatMap((values) => [...values]));
    }

    it.each(some(instructions === "plain" ? PLAIN : (Object.keys(FORMATS) as FormatName[]), 3))(
      "%s: products and experts",
      async (name) => {
        const format = FORMATS[name];
        const [D, N, E, F] = [544, 40, 3, 32];
        const input = await inputTable(ops, uniform(ROWS * D, 1), D);
        const m = await ops.loadMatrix(sourceFor(format, "w", uniform(N * D, 2, 0.1), N, D), format);
        const gate = await ops.loadMatrix(memorySource("gate", uniform(E * D, 3), E, D), FORMATS.f32);
        const of = (e: number) => ({
          w1: uniform(F * D, 100 + e, 0.2),
          w3: uniform(F * D, 200 + e, 0.2),
          w2: uniform(D * F, 300 + e, 0.2),
        });
        const sources = [...range(E)].map((e) => expertSource(`expert ${e}`, of(e), D, F, format, format));
        const experts = await ops.loadExperts(sources, format, format);
        const product = (tokens: Uint32Array) => {
          ops.begin(batchOf(tokens.length, { tokens }));
          return ops.read(ops.matmul(ops.embed(input), m));
        };
        const mixture = async (tokens: Uint32Array) => {
          ops.begin(batchOf(tokens.length, { tokens }));
          const x = ops.embed(input);
          const routes = ops.route(x, { gate, k: 2, rule: SOFTMAX, bias: null });
          return ops.read(await ops.moe(x, routes, experts));
        };
        for (const verb of [product, mixture]) {
          const alone = await steps(1, verb);
          expect(alone.some((value) => value !== 0)).toBe(true);
          for (const T of STEPS) expect(apart(await steps(T, verb), alone), `${T} tokens`).toBe(0);
        }
      },
    );

    it.each([
      ["of equal heads", attentionOf(4, 4, 64)],
      ["of groups of heads", attentionOf(8, 2, 32)],
      ["in a window", attentionOf(4, 2, 32, { window: 5 })],
    ] as const)("attention %s", async (_, attention) => {
      const { heads, kvHeads, headDim } = attention;
      const width = (heads + 2 * kvHeads) * headDim;
      const table = await inputTable(ops, uniform(ROWS * 64, 7), 64);
      const w = await ops.loadMatrix(memorySource("qkv", uniform(width * 64, 8), width, 64), FORMATS.f32);
      for (const precision of ["f32", "f16", "q8"] as const) {
        const seen: Float32Array[] = [];
        /** Attention of steps of T tokens, all of them or those at `outputs`. */
        const attend = async (T: number, outputs?: Uint32Array): Promise<Float32Array> => {
          const kv = ops.createKv({ layers: 1, kvHeads, headDim }, precision, 16, ROWS);
          await kv.reserve(2);
          const all = await steps(T, (tokens) => {
            ops.begin(
              batchOf(tokens.length, { tokens, positions: tokens, tables: [range(2)], ...(outputs && { outputs }) }),
            );
            const qkv = ops.qkv(ops.embed(table), [w], attention);
            ops.append(kv, 0, qkv, attention);
            const y = ops.attention(kv, 0, qkv, attention, outputs && "outputs");
            return ops.read(outputs && y.shape[0] === tokens.length ? ops.rows(y) : y);
          });
          kv.close();
          return all;
        };
        for (const T of [1, ...STEPS]) seen.push(await attend(T));
        for (const [i, T] of STEPS.entries()) expect(apart(seen[i + 1]!, seen[0]!), `${T} tokens`).toBe(0);
        const each = heads * headDim;
        const outputs = Uint32Array.of(2, 9, ROWS - 1);
        const wanted = [...outputs].flatMap((row) => [...seen[0]!.subarray(row * each, (row + 1) * each)]);
        expect(apart(await attend(ROWS, outputs), Float32Array.from(wanted)), "output rows").toBe(0);
      }
    });
  });
