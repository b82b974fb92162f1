// Puts a kernel's WGSL together: #import lines are replaced by the helpers of kernels/lib and the
// files of kernels/formats, each at most once.

import { KERNELS, LIBS } from "../../../../kernels/wgsl.ts";
import type { Activation } from "../../../tensor/activation.ts";
import type { KvPrecision } from "../../ops.ts";

/** Which files a kernel is assembled from: what its imports stand for. */
export interface Variant {
  readonly weights?: string;
  /** Of kernels that multiply by several matrices: the formats of the others. Absent: `weights`. */
  readonly second?: string;
  readonly third?: string;
  readonly kv?: KvPrecision;
  readonly reduce?: "tree" | "subgroups";
  /** How many numbers an invocation has room for. Absent: many. */
  readonly registers?: "few";
  /** What weights are multiplied in: one of their format's arithmetics. */
  readonly arithmetic?: Arithmetic;
  /** The shape of the kernels for a few tokens (few.ts). */
  readonly few?: "8x4" | "4x16" | "4x4" | "alone";
  /** How the kernels for many tokens work (tiles.ts). `shared` has a size and a type of cells. */
  readonly tile?: "registers" | "shared" | "int8" | "matrix" | "matrix8";
  readonly tile_size?: TileSize;
  readonly cell?: "f32" | "f16";
  /** Of experts. Absent: silu. */
  readonly activation?: Activation;
  /** Whether experts have biases. Absent: none. */
  readonly biases?: "added";
}

/** Rows of activations by rows of weights, where they differ. */
export type TileSize = 64 | "64x128" | 128;

export const ARITHMETICS = ["f32", "f16", "int8"] as const;
export type Arithmetic = (typeof ARITHMETICS)[number];

/**
 * The file that stands for `#import "lib/<path>.wgsl"`, without the ending. Weights are the
 * format's own file, and so are products where the format has a file for the arithmetic.
 */
function helper(
  path: string,
  { weights, kv, reduce, registers, arithmetic, few, tile, tile_size, cell, ...ffn }: Variant,
): string {
  if (path === "matrix/weights") return `formats/${weights}/weights`;
  if (path === "matrix/products" && `formats/${weights}/products_${arithmetic}` in LIBS)
    return `formats/${weights}/products_${arithmetic}`;
  const kind = arithmetic === "int8" ? "int8" : "float";
  const choices: Readonly<Record<string, string | number | undefined>> = {
    kv,
    key: kv === "q8" ? kv : "float",
    value: kv === "q8" ? kv : "float",
    attend: registers ?? "many",
    reduce,
    team: reduce,
    sums: reduce,
    share: reduce,
    unit: arithmetic,
    products: arithmetic,
    expert_out: kind,
    few: kind,
    few_out: kind,
    few_shape: few,
    tile,
    tile_size,
    cell,
    activation: ffn.activation ?? "silu",
    bias: ffn.biases ?? "none",
    vec_bias: ffn.biases ?? "none",
    share_bias: ffn.biases ?? "none",
  };
  const choice = choices[path.slice(path.lastIndexOf("/") + 1)];
  return choice === undefined ? `lib/${path}` : `lib/${path}_${choice}`;
}

export interface Shader {
  readonly code: string;
  /** Whether it reduces, so that Variant.reduce means something. */
  readonly reduces: boolean;
  /** Where line n (from 1) of the code comes from, as "rms_norm.wgsl:12". */
  origin(line: number): string;
}

const IMPORT = /^#import "lib\/([\w/]+)\.wgsl"(?: as (second|third) at (\d+))?$/;
/**
 * What has no part of any weights: rows of activations and sums. A file that is imported again for
 * other weights, "as" a name, shares these with the first.
 */
const SHARED = /^lib\/(team\/|matrix\/(rows8|columns_float|unit_\w+)$)/;
const DECLARED = /^(?:@group\(\d\) @binding\(\d+\) )?(?:fn|const|override|alias|struct|var(?:<[^>]*>)?) (\w+)/;
// Directives must stand before everything else in a module, wherever the helper that needs
// them is imported.
const DIRECTIVE = /^(enable|requires|diagnostic)\b/;

interface Line {
  readonly text: string;
  readonly origin: string;
}

/** The module of kernels/<name>.wgsl with the helpers that `variant` chooses. */
export function assemble(name: string, variant: Variant): Shader {
  const lines: Line[] = [];
  const directives: Line[] = [];
  const seen = new Set<string>();
  const include = (source: string | undefined, file: string, own: Variant, known: Set<string>, into: Line[]): void => {
    if (source === undefined) throw new Error(`kernels/${file} does not exist, or kernels/bundle.mjs has not been run`);
    for (const [i, text] of source.split("\n").entries()) {
      const [, wanted, as, at] = IMPORT.exec(text) ?? [];
      if (wanted === undefined) {
        (DIRECTIVE.test(text) ? directives : into).push({ text, origin: `${file}:${i + 1}` });
        continue;
      }
      const lib = helper(wanted, own);
      if (as !== undefined) {
        const again: Line[] = [];
        const weights = own[as as "second" | "third"] ?? own.weights;
        include(LIBS[lib], `${lib}.wgsl`, { ...own, ...(weights !== undefined && { weights }) }, new Set(), again);
        into.push(...named(again, as, Number(at)));
        continue;
      }
      const [once, to] = SHARED.test(lib) ? [seen, lines] : [known, into];
      if (once.has(lib)) continue;
      once.add(lib);
      include(LIBS[lib], `${lib}.wgsl`, own, known, to);
    }
  };
  include(KERNELS[name], `${name}.wgsl`, variant, seen, lines);
  const all = [...directives, ...lines];
  return {
    code: all.map(({ text }) => text).join("\n"),
    reduces: [...seen].some((lib) => /^lib\/team\//.test(lib)),
    origin: (line) => all[line - 1]?.origin ?? `${name}.wgsl`,
  };
}

/** Lines whose declarations have `_as` behind their names, and whose bindings start at `at`. */
function named(lines: readonly Line[], as: string, at: number): Line[] {
  const declared = lines.flatMap(({ text }) => DECLARED.exec(text)?.[1] ?? []);
  const names = new RegExp(`(?<![.\\w])(${declared.join("|")})\\b`, "g");
  return lines.map(({ text, origin }) => ({
    text: text.replace(names, `$1_${as}`).replace(/@binding\((\d+)\)/, (_, n) => `@binding(${at + Number(n)})`),
    origin,
  }));
}
