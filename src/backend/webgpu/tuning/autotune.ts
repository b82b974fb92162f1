// Finds the fastest forms of the kernels on this adapter, on the weights that were loaded, and
// remembers them.
//
// Every candidate is first compared with f32, row by row, reduced by a tree, on the same inputs.
// One that does not compile, or computes something else on this device, is left out, whatever its
// speed. Where time runs out, the usual ones stay, compared too, and that is remembered: an adapter
// that is slow to compile must not take the time at every start.

import type { Attention } from "../../ops.ts";
import type { Cache, GpuKv } from "../step/kv.ts";
import type { Products } from "../step/products.ts";
import type { GpuSlots } from "../weights/slots.ts";
import type { GpuExperts, GpuMatrix, WeightSpace } from "../weights/space.ts";
import type { TunedLayer, TuneOptions } from "./options.ts";
import { probe } from "./probe.ts";
import {
  batchOf,
  KV_BLOCK,
  type Problem,
  type ProblemContext,
  problem,
  type Question,
  type Solved,
} from "./problem.ts";
import { type Gate, Questions } from "./questions.ts";
import {
  agreeing,
  type Form,
  formFor,
  type RowForms,
  rowsPerExpert,
  type Thresholds,
  TILE_ROWS,
  thresholdsFrom,
} from "./rows.ts";
import { Deadline } from "./search.ts";
import { expertsOf, productOf, routeOf } from "./tuning.ts";

/**
 * Keeps small texts from run to run: a file in Node, local storage in a page. Both
 * may fail silently.
 */
export interface TuningStore {
  read(name: string): Promise<string | null>;
  write(name: string, text: string): Promise<void>;
}

export interface AutotuneContext extends ProblemContext {
  readonly products: Products;
  leftOut(why: string): void;
  readonly space: WeightSpace;
  /** What the model has: kernels are timed on it. */
  readonly matrices: readonly GpuMatrix[];
  readonly experts: readonly GpuExperts[];
  /** Experts in slots. */
  readonly slots: readonly GpuSlots[];
  /** The adapter's name and its driver's version. */
  readonly adapter: string;
}

/** Changes when kernels do: what was measured of older ones is measured again. */
const VERSION = 5;
/**
 * Milliseconds that finding out may take, beside comparing what is usual for the problems that are
 * left; and shares of what is left, for one row and then for tiles.
 */
const BUDGET = { gpu: 20_000, software: 5000 } as const;
const SHARES = [0.5, 0.6] as const;
/** A problem may take so many times its even share of what is left of a phase. */
const PROBLEM_SHARE = 3;
/** Rows of steps that forms are timed at. */
const FORM_ROWS = [2, 4, 8, 16, 32, 64] as const;

/** And those of experts, of which each gets fewer. */
const EXPERT_FORM_ROWS = [...FORM_ROWS, 128, 256, 512] as const;

/** A problem in one of three phases, whose end is another. */
interface Task {
  readonly phase: 0 | 1 | 2;
  /** Asked on software adapters too. */
  readonly always: boolean;
  readonly make: () => Problem;
}

/**
 * Chooses kernels for every shape of weights that was loaded. Returns what was timed now.
 * @throws DeviceError, the signal's reason
 */
export async function tune(
  context: AutotuneContext,
  store: TuningStore | null,
  options: TuneOptions,
): Promise<readonly Solved[]> {
  await probe(context);
  const model: Model = { layers: options.layers ?? [], caches: new Caches(context), forms: new Forms() };
  try {
    // Projections never append to a cache of q8.
    await model.caches.open(model.layers, options.kv === "f32" ? "f32" : "f16");
    return await autotune(context, store, options, model);
  } finally {
    model.caches.close();
    context.plans.clear();
    context.encoder.reset();
  }
}

async function autotune(
  context: AutotuneContext,
  store: TuningStore | null,
  { signal, onProgress, everything = !context.software, budget }: TuneOptions,
  model: Model,
): Promise<readonly Solved[]> {
  const { tuning, software, adapter } = context;
  const { arithmetics, subgroup } = tuning.abilities;
  const name = `tuning ${VERSION} ${adapter} ${arithmetics} ${subgroup}`;
  const known = parse(await store?.read(name));
  const end = new Deadline(budget ?? BUDGET[software ? "software" : "gpu"], signal);
  const solved: Solved[] = [];
  const tasks = tasksOf(context, model).filter(({ always }) => everything || always);
  let [phase, until] = [-1, end];
  for (const [i, task] of tasks.entries()) {
    if (task.phase !== phase) {
      phase = task.phase;
      until = everything && phase < SHARES.length ? end.part(SHARES[phase]!) : end;
    }
    const one = task.make();
    if (!one.recall(known[one.key])) {
      // No problem takes the time of all that follow it.
      const left = tasks.filter((other, at) => at >= i && other.phase === phase).length;
      // Of later phases not even what is usual is compared once time is over.
      const { found, ...rest } = await one.solve(until.part(Math.min(1, PROBLEM_SHARE / left)), phase > 0);
      known[one.key] = found;
      solved.push(rest.solved);
    }
    onProgress?.(i + 1, tasks.length);
  }
  if (everything) {
    const found = model.forms.found(tuning.forms);
    tuning.forms = tuning.agree > 0 ? agreeing(found) : found;
  }
  if (solved.length > 0) await store?.write(name, JSON.stringify(known));
  return solved;
}

function parse(text: string | null | undefined): Record<string, unknown> {
  let stored: unknown;
  try {
    stored = JSON.parse(text ?? "");
  } catch {
    return {}; // nothing, or half a file: measure again
  }
  return typeof stored === "object" && stored !== null ? { ...stored } : {};
}

/** What the weights are for, and what problems about them share. */
interface Model {
  readonly layers: readonly TunedLayer[];
  readonly caches: Caches;
  readonly forms: Forms;
}

/** The forms that were found by rows, until all are. */
class Forms {
  readonly #matrices: [number, Form][] = [[1, "vec"]];
  readonly #experts: [number, Form][] = [[1.1, "vec"]];

  /** Sets the form of one number of rows. */
  readonly setter = (of: "matrices" | "experts", rows: number) => {
    const list = of === "matrices" ? this.#matrices : this.#experts;
    return (form: Form): void => {
      const entry = list.find(([n]) => n === rows);
      if (entry) entry[1] = form;
      else list.push([rows, form]);
    };
  };

  /** Where nothing else was found, what was used before. */
  found(usual: RowForms): RowForms {
    const other = (best: readonly [number, Form][], known: Thresholds): Thresholds =>
      best.every(([rows, form]) => form === formFor(known, rows, new Set())) ? known : thresholdsFrom(best);
    return {
      ...usual,
      matrices: other(this.#matrices, usual.matrices),
      experts: other(this.#experts, usual.experts),
    };
  }
}

/** A small KV cache for each size of heads, which projections append to. */
class Caches {
  readonly #context: AutotuneContext;
  readonly #made = new Map<string, GpuKv>();

  constructor(context: AutotuneContext) {
    this.#context = context;
  }

  async open(layers: readonly TunedLayer[], kv: "f32" | "f16"): Promise<void> {
    for (const { attention } of layers) {
      if (!attention || attention.latent) continue; // which qkv() does not append
      const { kvHeads, headDim } = attention;
      const key = `${kvHeads} ${headDim}`;
      if (this.#made.has(key)) continue;
      const made = this.#context.ops.createKv({ layers: 1, kvHeads, headDim }, kv, KV_BLOCK) as GpuKv;
      this.#made.set(key, made);
      await made.reserve(FORM_ROWS.at(-1)! / KV_BLOCK);
    }
  }

  of({ kvHeads, headDim }: Attention, n: number): Cache {
    const store = this.#made.get(`${kvHeads} ${headDim}`)!;
    return { store, words: null, ...store.layer(0, batchOf(n)) };
  }

  close(): void {
    for (const made of this.#made.values()) made.close();
  }
}

/** Problems for one row, then for tiles, then which form is used: each rests on those before. */
function tasksOf(context: AutotuneContext, { layers, caches, forms }: Model): Task[] {
  const { tuning, products, space, slots } = context;
  const { maxTokens } = context.ops;
  const experts = [...context.experts, ...slots.flatMap((held) => [held.ofLayer(0), held.inTransit])];
  const perToken = layers.find(({ router }) => router)?.router?.k ?? 2;
  const questions = new Questions({
    tuning,
    products,
    slots,
    software: context.software,
    perToken,
    cache: (attention, n) => caches.of(attention, n),
  });
  const ask = <T>(phase: Task["phase"], question: () => Question<T>, always = false): Task => ({
    phase,
    always,
    make: () => problem(context, question()),
  });
  const attending = layers.flatMap(({ qkv, attention }) => {
    return attention && !attention.latent ? [{ qkv, attention }] : [];
  });
  const stacks = attending.map(({ qkv, attention }) => ({
    matrices: space.stacked(qkv as readonly GpuMatrix[]),
    attention,
  }));
  const fused = stacks.filter(({ matrices, attention }) =>
    tuning.inForm("vec", () => products.projections.fused(1, matrices, attention)),
  );
  const gates = layers.flatMap(({ router }) => (router ? [router as Gate] : []));
  const own = new Set<unknown>([
    ...gates.map(({ gate }) => gate),
    ...attending.flatMap(({ qkv }, i) => (fused.includes(stacks[i]!) ? qkv : [])),
  ]);
  // Routers that the model does not name: small, and alone in f32.
  const isRouter = ({ format }: GpuMatrix, _: number, all: readonly GpuMatrix[]): boolean =>
    format.name === "f32" && all.some((other) => other.format.name !== "f32");
  const matrices = context.matrices.filter((w, i, all) => !own.has(w) && !isRouter(w, i, all));

  const ofExperts = grouped(experts, ({ w13, w2 }) => `${expertsOf(w13, w2)} ${w13.parts.length}`);
  const ofMatrices = grouped(matrices, (w) => productOf(w, 1));
  const ofStacks = grouped(fused, (stack) => stack.matrices.map((w) => productOf(w, 2)).join());
  const ofGates = grouped(gates, ({ gate }) => routeOf(gate, gate.rows));
  const dense = ofMatrices.map((alike) => alike.at(-1)!);
  const formats = grouped([...matrices, ...fused.flatMap((stack) => stack.matrices)], ({ format }) => format.name);
  const inTiles = formats.map((alike) => [...alike].sort((a, b) => squareness(b) - squareness(a))[0]!);
  // As many tokens as give an expert so many rows, and not one more.
  const tokensFor = (each: number, E: number): number => {
    let n = Math.min(Math.round((each * E) / perToken), maxTokens);
    while (n > 1 && rowsPerExpert(n, perToken, E) > each) n--;
    return n;
  };

  return [
    ...ofExperts.map((alike) => ask(0, () => questions.experts(alike), true)),
    ...ofStacks.map((alike) => ask(0, () => questions.projection(alike))),
    ...ofMatrices.map((alike) => ask(0, () => questions.matrix(alike), true)),
    ...ofGates.map((alike) => ask(0, () => questions.router(alike))),
    ...[...TILE_ROWS].reverse().flatMap((rows, i) => [
      ...grouped(experts, ({ w13 }) => w13.format.name).flatMap(([some]) => {
        const tokens = tokensFor(rows, some!.count);
        const smaller = TILE_ROWS.at(-2 - i) ?? 0;
        if (rowsPerExpert(tokens, perToken, some!.count) <= smaller) return [];
        return [ask(1, () => questions.tile("experts", some!, tokens, rows))];
      }),
      ...(rows > 16 && Math.min(rows, maxTokens) > (TILE_ROWS.at(-2 - i) ?? 0)
        ? inTiles.map((w) => ask(1, () => questions.tile("matrices", w, Math.min(rows, maxTokens), rows)))
        : []),
    ]),
    ...FORM_ROWS.filter((n) => n <= maxTokens && dense.length > 0).map((n) =>
      ask(2, () => questions.matrixForm(n, dense, fused.slice(-1), forms.setter("matrices", n))),
    ),
    ...ofExperts.slice(0, 1).flatMap((alike) => {
      const each = (n: number): number => rowsPerExpert(n, perToken, alike[0]!.count);
      return EXPERT_FORM_ROWS.filter((n) => n <= maxTokens && each(n) > 1.1 && each(n) <= 64).map((n) =>
        ask(2, () => questions.expertForm(n, alike, forms.setter("experts", each(n)))),
      );
    }),
  ];
}

/** Neither a router nor a head with the whole vocabulary. */
function squareness({ rows, cols }: GpuMatrix): number {
  return Math.min(rows / cols, cols / rows);
}

function grouped<T>(all: readonly T[], keyOf: (one: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const one of all) groups.set(keyOf(one), [...(groups.get(keyOf(one)) ?? []), one]);
  return [...groups.values()];
}
