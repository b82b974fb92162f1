// What the tuner asks about products with a model's weights, as a step has them: by kernel, format,
// size and rows.

import type { Attention, Router } from "../../ops.ts";
import type { Arithmetic } from "../dispatch/shader.ts";
import type { Cache } from "../step/kv.ts";
import type { Products } from "../step/products.ts";
import type { GpuTensor } from "../step/scratch.ts";
import type { GpuSlots } from "../weights/slots.ts";
import type { GpuExperts, GpuMatrix } from "../weights/space.ts";
import { activations, first, results, routes } from "./inputs.ts";
import { placesFor } from "./places.ts";
import type { Question, Work } from "./problem.ts";
import type { Form } from "./rows.ts";
import { TILES, type TileName } from "./tiles.ts";
import { fillTransit, type Trial } from "./trial.ts";
import {
  type ExpertVariants,
  expertsOf,
  type MatvecVariant,
  productOf,
  routeOf,
  type TileUse,
  type Tuning,
  takeInt8,
  tileOf,
} from "./tuning.ts";

/** Projections of one layer, fused with RoPE and the append to the cache. */
export interface Projection {
  readonly matrices: readonly GpuMatrix[];
  readonly attention: Attention;
}

/** A layer's router: its gate, and what it computes from the scores. */
export interface Gate extends Router {
  readonly gate: GpuMatrix;
}

/** What the questions are about. */
export interface Subject {
  readonly tuning: Tuning;
  readonly products: Products;
  readonly software: boolean;
  readonly slots: readonly GpuSlots[];
  /** Experts that a token chooses. */
  readonly perToken: number;
  /** A cache of an attention's heads, for the keys and values of the first n positions. */
  cache(attention: Attention, n: number): Cache;
}

/** Items that a timing goes around, so that it does not measure the caches. */
const MOST_ITEMS = 16;
const EPS = 1e-5;

/** Any of many rows reads each weight once: fewer items keep a slow device's submits short. */
const most = <T>(alike: readonly T[], rows: number): readonly T[] => alike.slice(-(rows > 1 ? 2 : MOST_ITEMS));

export class Questions {
  readonly #subject: Subject;

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  /** The variant of matrices of one size, for one row. */
  matrix(alike: readonly GpuMatrix[]): Question<MatvecVariant> {
    const [w] = alike as [GpuMatrix];
    const { tuning } = this.#subject;
    return {
      ...this.#variants([w], "matmul_vec", tuning.matvec(w), (best) => tuning.setMatvec(w, best)),
      key: productOf(w, 1),
      work: (trial) => this.#matrices(trial, alike.slice(-MOST_ITEMS), 1, [Math.min(alike.length, MOST_ITEMS) - 1]),
    };
  }

  /** The variant of projections of one size, for one row: with norm, RoPE and append. */
  projection(alike: readonly Projection[]): Question<MatvecVariant> {
    const { matrices } = alike[0]!;
    const { tuning } = this.#subject;
    const set = (best: MatvecVariant): void => {
      for (const w of matrices) tuning.setMatvec(w, { ...best, atOnce: placesFor(w.format, tuning.abilities) }, 2);
    };
    return {
      ...this.#variants(matrices, "qkv_vec", tuning.matvec(matrices[0]!, 2), set),
      key: matrices.map((w) => productOf(w, 2)).join(", "),
      work: (trial) => this.#projections(trial, alike.slice(-MOST_ITEMS), 1),
    };
  }

  /** The variant of routers of one size. */
  router(alike: readonly Gate[]): Question<MatvecVariant> {
    const [{ gate }] = alike as [Gate];
    const { tuning, products } = this.#subject;
    const usual = tuning.route(gate, gate.rows);
    return {
      ...this.#variants([gate], "route", usual, (best) => tuning.setRoute(gate, gate.rows, best)),
      key: routeOf(gate, gate.rows),
      stages: [() => tuning.routes(gate, gate.rows)],
      work: (trial) => {
        const some = alike.slice(-MOST_ITEMS);
        const x = withNorm(trial, activations(trial, 1, gate.cols));
        const rows = results(trial, 1, gate.cols).buffer;
        return {
          items: some.length,
          compared: [some.length - 1],
          encode: (item) => {
            const { routes: chosen, encode } = products.route(first(x, 1), some[item]!);
            encode({ buffer: rows, int8: false });
            return chosen.weights as GpuTensor;
          },
        };
      },
    };
  }

  /** The variants of experts of one size, for one token. */
  experts(alike: readonly GpuExperts[]): Question<ExpertVariants> {
    const { tuning, perToken } = this.#subject;
    const { w13: up, w2: down } = alike[0]!;
    const usual = tuning.experts(up, down, perToken);
    const can = (a: Arithmetic): boolean => tuning.abilities.arithmetics.includes(a);
    const floats = (["f32", "f16"] as const).filter(can);
    const takes = (a: Arithmetic): boolean => [up, down].every(({ format }) => format.arithmetics.includes(a));
    const usable = floats.filter(takes);
    const start = usable[0];
    const int8 = can("int8") && takeInt8(up, down);
    const each = (a: Arithmetic, { up: u, down: d }: ExpertVariants): ExpertVariants => ({
      up: { ...u, arithmetic: a },
      down: { ...d, arithmetic: a },
    });
    const ups = (a: Arithmetic, teams?: number) => (best: ExpertVariants) =>
      tuning.candidates(a, up, teams).map((variant) => ({ up: variant, down: { ...best.down, arithmetic: a } }));
    const downs = (a: Arithmetic) => (best: ExpertVariants) =>
      best.down.arithmetic === a
        ? tuning.candidates(a, down, undefined, perToken).map((variant) => ({ ...best, down: variant }))
        : [];
    return {
      key: `${expertsOf(up, down)} ${up.parts.length}`,
      rows: 1,
      usual,
      plain: { up: plain(usual.up), down: plain(usual.down) },
      stages: [
        ...(start ? [ups(start), downs(start)] : []),
        (best) => usable.slice(1).map((a) => each(a, best)),
        ...(int8 ? [ups("int8", 8), downs("int8")] : []),
        (best) => [{ up: { ...best.up, reduce: "tree" }, down: { ...best.down, reduce: "tree" } }],
      ],
      text: ({ up: u, down: d }) =>
        `experts ${[...new Set([up.format.name, down.format.name])].join(" and ")} ${u.arithmetic} ${shapeOf(u)}, ${shapeOf(d)}`,
      isOne: (x) => {
        const { up: u, down: d } = (x ?? {}) as Partial<ExpertVariants>;
        const both = isVariant(u) && isVariant(d) && (u.arithmetic === "int8") === (d.arithmetic === "int8");
        return both && [u, d].every(({ arithmetic }) => can(arithmetic) && takes(arithmetic));
      },
      set: (best) => tuning.setExperts(up, down, best),
      arithmetic: (best) => best.up.arithmetic,
      form: () => "vec",
      work: (trial) => this.#experts(trial, alike.slice(-MOST_ITEMS), 1),
    };
  }

  /** The tile of products of a format with so many rows. */
  tile(use: TileUse, some: GpuMatrix | GpuExperts, tokens: number, rows: number): Question<TileName> {
    const { tuning } = this.#subject;
    const format = "w13" in some ? some.w13.format : some.format;
    const key = tileOf(format, use, rows);
    return {
      key,
      rows: tokens,
      usual: tuning.tileName(format, use, rows),
      plain: tuning.tile,
      stages: [() => tuning.tilesFor(format)],
      text: (name) => `${key}: ${name}`,
      isOne: (x) => tuning.tilesFor(format).some((name) => name === x),
      set: (name) => tuning.setTile(format, use, rows, name),
      arithmetic: (name) => tileArithmetic(name),
      form: () => "tile",
      work: (trial) =>
        "w13" in some ? this.#experts(trial, [some], tokens) : this.#matrices(trial, [some], tokens, [0]),
    };
  }

  /** The form of a layer's matrices for n rows: one of each kind, and the projections. */
  matrixForm(
    n: number,
    kinds: readonly GpuMatrix[],
    projections: readonly Projection[],
    set: (form: Form) => void,
  ): Question<Form> {
    const { tuning } = this.#subject;
    const all = [...kinds, ...projections.flatMap(({ matrices }) => matrices)];
    const tiles = all.map(({ format }) => tileArithmetic(tuning.tileName(format, "matrices", n)));
    const few = all.some((w) => tuning.fewInt8(w)) ? "int8" : "f16";
    const by = (form: Form): Arithmetic => (form === "tile" ? loosest(tiles) : form === "vec" ? "f16" : few);
    return {
      ...this.#forms(tuning.form(n), set, by),
      key: `form of matrices, ${n} rows`,
      rows: n,
      work: (trial) => {
        const works = [
          ...(kinds.length > 0 ? [this.#matrices(trial, kinds, n, [...kinds.keys()])] : []),
          ...(projections.length > 0 ? [this.#projections(trial, projections, n)] : []),
        ];
        return together(works);
      },
    };
  }

  /** The form of experts if n tokens choose. */
  expertForm(n: number, alike: readonly GpuExperts[], set: (form: Form) => void): Question<Form> {
    const { tuning, perToken } = this.#subject;
    const [{ w13, w2, count }] = alike as [GpuExperts];
    const by = tuning.experts(w13, w2).up.arithmetic;
    const tile = tileArithmetic(tuning.tileName(w13.format, "experts", (n * perToken) / count));
    return {
      ...this.#forms(tuning.expertForm(n, perToken, count), set, (form) =>
        form === "tile" ? tile : loosest([by, "f16"]),
      ),
      key: `form of experts, ${n} tokens choose ${perToken} of ${count}`,
      rows: n,
      work: (trial) => this.#experts(trial, most(alike, n), n),
    };
  }

  #forms(usual: Form, set: (form: Form) => void, arithmetic: (form: Form) => Arithmetic) {
    const few: readonly Form[] = this.#subject.tuning.abilities.fewRegisters ? ["4x4"] : ["8x4", "4x16"];
    const forms: readonly Form[] = ["vec", ...few, "tile"];
    return {
      usual,
      plain: "vec" as const,
      stages: [() => forms],
      text: (form: Form) => `form ${form}`,
      isOne: (x: unknown) => forms.some((form) => form === x),
      set,
      arithmetic,
      form: (form: Form) => form,
    };
  }

  /** What questions about variants of one kernel for one row have in common. */
  #variants(
    weights: readonly GpuMatrix[],
    kernel: string,
    usual: MatvecVariant,
    set: (best: MatvecVariant) => void,
  ): Omit<Question<MatvecVariant>, "key" | "work"> {
    const { tuning } = this.#subject;
    const [w] = weights as [GpuMatrix];
    const usable = (["f32", "f16"] as const).filter(
      (a) => tuning.abilities.arithmetics.includes(a) && weights.every(({ format }) => format.arithmetics.includes(a)),
    );
    return {
      rows: 1,
      usual,
      plain: plain(usual),
      // All shapes in the first arithmetic, then the best of them in the others, and by a tree.
      stages: [
        () => usable.slice(0, 1).flatMap((a) => tuning.candidates(a, w)),
        (best) => usable.slice(1).map((arithmetic) => ({ ...best, arithmetic })),
        (best) => [{ ...best, reduce: "tree" }],
      ],
      text: (v) => `${kernel} ${w.format.name} ${v.arithmetic} ${shapeOf(v)}`,
      isOne: (x) => isVariant(x) && usable.some((arithmetic) => arithmetic === x.arithmetic),
      set,
      arithmetic: (v) => v.arithmetic,
      form: () => "vec",
    };
  }

  #matrices(trial: Trial, some: readonly GpuMatrix[], rows: number, compared: readonly number[]): Work {
    const { products } = this.#subject;
    const widths = [...new Set(some.map(({ cols }) => cols))];
    const inputs = new Map(widths.map((cols) => [cols, activations(trial, rows, cols)]));
    const normed = new Map(widths.map((cols) => [cols, withNorm(trial, inputs.get(cols)!)]));
    const y = results(trial, rows, Math.max(...some.map((w) => w.rows)));
    return {
      items: some.length,
      compared,
      encode: (item, n) => {
        const w = some[item]!;
        // A head reads a norm and writes; what comes out of attention is added to the residual.
        const head = w.rows > w.cols;
        const x = first((head ? normed : inputs).get(w.cols)!, n);
        products.matmul(x, w, y.buffer, y.stride, !head);
        return y;
      },
    };
  }

  #projections(trial: Trial, some: readonly Projection[], rows: number): Work {
    const { products, cache } = this.#subject;
    const { matrices } = some[0]!;
    const x = withNorm(trial, activations(trial, rows, matrices[0]!.cols));
    const y = results(
      trial,
      rows,
      matrices.reduce((sum, w) => sum + w.rows, 0),
    );
    return {
      items: some.length,
      compared: [some.length - 1],
      encode: (item, n) => {
        const { matrices: own, attention } = some[item]!;
        const fused = products.projections.fused(n, own, attention);
        products.projections.encode(first(x, n), own, attention, first(y, n), fused ? cache(attention, n) : null);
        return y;
      },
    };
  }

  #experts(trial: Trial, some: readonly GpuExperts[], rows: number): Work {
    const { products, slots, perToken } = this.#subject;
    const { hidden } = some[0]!;
    for (const held of slots) fillTransit(held);
    const E = Math.min(...some.map(({ count }) => count));
    const x = activations(trial, rows, hidden);
    const y = results(trial, rows, hidden);
    const { ids, weights } = routes(trial, rows, Math.min(perToken, E), E);
    return {
      items: some.length,
      compared: [some.length - 1],
      encode: (item, n) => {
        const own = first(x, n);
        const inputs = { x: own, each: 1, rows: (as: Arithmetic) => products.rows(own, as) };
        products.moe(inputs, first(ids, n), first(weights, n), some[item]!)(y.buffer, y.stride, true);
        return y;
      },
    };
  }
}

/** The same rows with a norm that their reader computes. */
function withNorm(trial: Trial, of: GpuTensor): GpuTensor {
  const weights = trial.filled(Float32Array.from({ length: of.stride }, (_, i) => 1 + (i % 7) / 16));
  return { ...of, norm: { of, weights, eps: EPS } };
}

/** The items of all. */
function together(works: readonly Work[]): Work {
  const items = works.flatMap((work) => Array.from({ length: work.items }, (_, item) => ({ work, item })));
  const compared = items.flatMap(({ work, item }, i) => (work.compared.includes(item) ? [i] : []));
  return { items: items.length, compared, encode: (i, n) => items[i]!.work.encode(items[i]!.item, n) };
}

/** The variant that others are compared with: it uses only what every device has. */
function plain(variant: MatvecVariant): MatvecVariant {
  return { ...variant, arithmetic: "f32", reduce: "tree" };
}

function shapeOf({ reduce, threads, teams }: MatvecVariant): string {
  return `${reduce} ${threads}x${teams}`;
}

function tileArithmetic(name: TileName): Arithmetic {
  return TILES[name].input === "int8" ? "int8" : "f16";
}

function loosest(all: readonly Arithmetic[]): Arithmetic {
  return (["int8", "f16"] as const).find((a) => all.includes(a)) ?? "f32";
}

/** Whether something stored is a variant: the file may hold anything. */
function isVariant(x: unknown): x is MatvecVariant {
  if (typeof x !== "object" || x === null) return false;
  const { arithmetic, reduce, threads, teams, atOnce } = x as Partial<MatvecVariant>;
  const size = (n: unknown): boolean => typeof n === "number" && [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].includes(n);
  const known = ["f32", "f16", "int8"].includes(String(arithmetic)) && ["tree", "subgroups"].includes(String(reduce));
  return known && [threads, teams, atOnce].every(size);
}
