// Times a token's experts on the CPU, and a product with one wide matrix of as many bytes, by
// turns: many narrow experts should take the time of their bytes.

import { FORMATS } from "../../kernels/formats/index.ts";
import { createCpuOps } from "../../src/backend/cpu/cpu.ts";
import { startNodeWorker } from "../../src/backend/cpu/node_threads.ts";
import type { Ops } from "../../src/backend/ops.ts";
import { type Format, panelLayout } from "../../src/tensor/format.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import { parseSynthetic } from "../../src/weights/synthetic.ts";
import { median } from "../residency/bounds.ts";
import type { Shape } from "./shape.ts";

/** Bytes of experts that are loaded: above the caches, so that a token reads them from memory. */
const LOADED = 2 ** 27;
/** Columns of the wide matrix. */
const WIDE = 4096;
/** Tokens of a round, and rows of the table that they are taken from in turn. */
const [TOKENS, ROWS] = [16, 256];

export interface CpuRates {
  readonly threads: number;
  /**
   * Bytes of weights by a second of processor time of all threads, which other programs disturb
   * less than the clock, by the median round: of the wide matrix, ...
   */
  readonly wide: number;
  /** ... of a token's experts, and of the same in slots, which are computed one by one. */
  readonly experts: number;
  readonly inSlots: number;
  /** The medians of the rounds' ratios to the wide matrix. */
  readonly ofWide: { readonly experts: number; readonly inSlots: number };
}

export async function cpuRates(shape: Shape, format: Format, threads: number, rounds: number): Promise<CpuRates> {
  const ops = await createCpuOps({ maxTokens: 1, threads, startWorker: startNodeWorker });
  try {
    const round = await prepare(ops, shape, format);
    await round(); // compiles
    const all: Round[] = [];
    for (let i = 0; i < rounds; i++) all.push(await round());
    const of = (rate: (round: Round) => number): number => median(all.map(rate));
    return {
      ...{ threads, wide: of((r) => r.wide), experts: of((r) => r.experts), inSlots: of((r) => r.inSlots) },
      ofWide: { experts: of((r) => r.experts / r.wide), inSlots: of((r) => r.inSlots / r.wide) },
    };
  } finally {
    ops.close();
  }
}

/** Bytes of weights a second. */
type Round = Readonly<Record<"wide" | "experts" | "inSlots", number>>;

/** Loads; returns what measures a round. */
async function prepare(ops: Ops, { sources, K, D, F }: Shape, format: Format): Promise<() => Promise<Round>> {
  const { source } = parseSynthetic("synthetic:mixtral-8x7b"); // which makes any shape
  const matrix = (name: string, rows: number, cols: number, held = format) => {
    source.make?.(name, [rows, cols]);
    return ops.loadMatrix(source.matrix(name), held);
  };
  const each = panelLayout(format, 2 * F, D).bytes + panelLayout(format, D, F).bytes;
  const count = Math.min(sources.length, Math.max(2 * K, Math.ceil(LOADED / each)));
  const experts = await ops.loadExperts(sources.slice(0, count), format, format);
  const shape = { count, hidden: D, intermediate: F, up: format, down: format };
  const slots = await ops.expertSlots!(shape, count);
  for (let e = 0; e < count; e++) await slots.convert(sources[e]!, e);
  const apart = ops.offloadedExperts!(0, slots, {
    async visit(_layer, use, _x, compute) {
      for (const { expert } of use) await compute(expert, expert);
    },
  });
  const table = await matrix("table.weight", ROWS, D, FORMATS.f32);
  const rows = await matrix("rows.weight", ROWS, WIDE, FORMATS.f32);
  const gate = await matrix("gate.weight", count, D, FORMATS.f32);
  const wide = await matrix("wide.weight", Math.ceil((K * each) / panelLayout(format, 8, WIDE).bytes) * 8, WIDE);
  const now = (): number => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
  let token = 0;
  return async () => {
    const ms = { wide: 0, experts: 0, inSlots: 0 };
    const timed = async (at: keyof Round, work: () => Promise<unknown>): Promise<void> => {
      const started = now();
      await work();
      ms[at] += now() - started;
    };
    for (let i = 0; i < TOKENS; i++) {
      const ids = Uint32Array.of(token++ % ROWS);
      const zero = Uint32Array.of(0);
      ops.begin({ tokens: ids, positions: zero, sequence: zero, tables: [zero], outputs: zero });
      const x = ops.embed(table);
      const chosen = ops.route(x, { gate, k: K, rule: SOFTMAX, bias: null });
      await ops.read(chosen.ids);
      await timed("experts", async () => ops.read(await ops.moe(x, chosen, experts)));
      await timed("inSlots", async () => ops.read(await ops.moe(x, chosen, apart)));
      const row = ops.embed(rows);
      await ops.read(row);
      await timed("wide", () => ops.read(ops.matmul(row, wide)));
    }
    const rate = (bytes: number, at: keyof Round): number => (1000 * TOKENS * bytes) / ms[at];
    return { wide: rate(wide.bytes, "wide"), experts: rate(K * each, "experts"), inSlots: rate(K * each, "inSlots") };
  };
}
