// Which form of a product is used, by the rows that a matrix or an expert gets: matrix-vector for
// one row, the kernels for a few rows, tiles for many. This is the one place that knows: timing may
// put other thresholds here.

import type { FewShape } from "./few.ts";

/** How a product is computed: row by row, a few rows at once, or by tiles. */
export type Form = "vec" | FewShape | "tile";

/** Forms by rows, ascending: each for up to so many rows, tiles for more. */
export type Thresholds = readonly (readonly [upTo: number, form: Exclude<Form, "tile">])[];

export interface RowForms {
  /** By the rows of the step. */
  readonly matrices: Thresholds;
  /** By the rows that an expert gets on average, of those that get any (rowsPerExpert()). */
  readonly experts: Thresholds;
  /**
   * Whether an invocation makes its rows of weights alone, all columns of them, where a few rows
   * are multiplied at once; else a team shares the columns.
   */
  readonly alone: boolean;
  /**
   * Up to so many rows of a step have the forms of one, so that each has the same results, to the
   * bit, whatever rows are beside it. Absent: none.
   */
  readonly agree?: number;
}

/** Rows that can agree: attention takes more by other kernels (attention.ts). */
export const AGREEING_ROWS = 8;

/** Forms by which up to eight rows agree: a single one is multiplied as a few are. */
export function agreeing(forms: RowForms): RowForms {
  const few = (thresholds: Thresholds): Thresholds => {
    const left = thresholds.filter(([, form]) => form !== "vec");
    return left.length > 0 ? left : [[AGREEING_ROWS, "8x4"]];
  };
  return { ...forms, matrices: few(forms.matrices), experts: few(forms.experts), agree: AGREEING_ROWS };
}

/**
 * What is used before anything is timed. On a GPU a weight that is read costs more than all it is
 * multiplied by, until there are some 16 rows, and tiles of 64 rows are a loss until they are half
 * full. An expert gets more rows than the average now and then: a second pass over its weights
 * then, by workgroups next to those of the first, for which they come from a cache. With that,
 * "8x4" takes fewer instructions than "4x16" up to four rows on average (AMD's and NVIDIA's
 * compilers); 4.1 is what 16 tokens give experts of which each chooses 2 of 8.
 */
const GPU: RowForms = {
  matrices: [
    [1, "vec"],
    [4, "8x4"],
    [64, "4x16"],
  ],
  experts: [
    [1.1, "vec"],
    [4.1, "8x4"],
    [16, "4x16"],
  ],
  alone: false,
};

/**
 * GPUs with room for some 64 numbers an invocation: other shapes move registers to memory and back
 * more often than they read weights (bench/isa). A second pass finds its weights in a cache.
 */
const FEW_REGISTERS: RowForms = {
  matrices: [
    [1, "vec"],
    [16, "4x4"],
  ],
  experts: [
    [1.1, "vec"],
    [16, "4x4"],
  ],
  alone: false,
};

/**
 * Software adapters, which are processors: to load an element takes them as long as to multiply it
 * by some ten, and workgroup memory is no faster than any other. Panels by few rows share most of
 * the loads (few_shape_alone.wgsl), so that from two rows on nothing else is faster, however many
 * there are. Of two rows experts have mostly one each.
 */
const SOFTWARE: RowForms = {
  matrices: [
    [1, "vec"],
    [Number.POSITIVE_INFINITY, "8x4"],
  ],
  experts: [
    [1.2, "vec"],
    [Number.POSITIVE_INFINITY, "8x4"],
  ],
  alone: true,
};

/** The same where a tile was asked for, which is used from nine rows on, of experts from three. */
const TILED: RowForms = { matrices: [[8, "vec"]], experts: [[2.3, "vec"]], alone: true };

/**
 * @param tiled whether a tile was asked for by name
 * @param fewRegisters whether an invocation has room for some 64 numbers
 */
export function usualForms(software: boolean, tiled = false, fewRegisters = false): RowForms {
  if (!software) return fewRegisters ? FEW_REGISTERS : GPU;
  return tiled ? TILED : SOFTWARE;
}

/** The form for so many rows; `without`: shapes that the device does not take. */
export function formFor(thresholds: Thresholds, rows: number, without: ReadonlySet<FewShape>): Form {
  const left = thresholds.filter(([, form]) => form === "vec" || !without.has(form));
  return left.find(([upTo]) => rows <= upTo)?.[1] ?? "tile";
}

/**
 * Rows that tiles are timed with: those of fewer rows have the tile of the next size, those of more
 * the last one's.
 */
export const TILE_ROWS = [16, 64, 512] as const;

/** The size whose tile products of so many rows have. */
export function tileRows(rows: number): number {
  return TILE_ROWS.find((size) => rows <= size) ?? TILE_ROWS.at(-1)!;
}

/**
 * Thresholds from the best form at some numbers of rows, ascending: each up to the number that it
 * was the best at, since a form's passes over the weights are cheapest when full. After the first
 * number at which tiles are, nothing else follows.
 */
export function thresholdsFrom(best: readonly (readonly [rows: number, form: Form])[]): Thresholds {
  const thresholds: [number, Exclude<Form, "tile">][] = [];
  for (const [rows, form] of best) {
    if (form === "tile") break;
    if (thresholds.at(-1)?.[1] === form) thresholds.pop();
    thresholds.push([rows, form]);
  }
  return thresholds;
}

/** Rows of an expert on average, of those that get any, if n tokens choose K of E alike. */
export function rowsPerExpert(n: number, K: number, E: number): number {
  if (n === 0) return 0;
  const chosen = E * (1 - (1 - Math.min(K / E, 1)) ** n);
  return (n * K) / chosen;
}

/** Up to so many rows each may well be a session's, with logits of its own. */
const SESSIONS = 16;
/** Steps of more rows than this have the forms of those. */
const LONGEST = 4096;

/**
 * Numbers of rows, `most` at most, that between them use every form: of those that use the same
 * ones the largest, but none above 16 that is not needed.
 * @param formsOf names the forms that a step of n rows uses
 */
export function stepSizes(most: number, formsOf: (n: number) => string): readonly number[] {
  const sizes = new Map<string, number>();
  for (let n = 1; n <= Math.min(most, LONGEST); n++) {
    const forms = formsOf(n);
    if (n <= SESSIONS || !sizes.has(forms)) sizes.set(forms, n);
  }
  return [...sizes.values()];
}
