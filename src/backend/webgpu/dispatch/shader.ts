// Puts a kernel's WGSL together: #import lines are replaced by the helpers of kernels/lib and the
// files of kernels/formats, each at most once.

import { KERNELS, LIBS } from "../../../../kernels/wgsl.ts";
import type { Activation } from "../../../tensor/activation.ts";

/** Which files a kernel is assembled from: what its imports stand for. */
export interface Variant {
  readonly weights?: string;
  readonly kv?: "f32" | "f16";
  readonly reduce?: "tree" | "subgroups";
  /** What weights are multiplied in: one of their format's arithmetics. */
  readonly arithmetic?: Arithmetic;
  /** The shape of the kernels for a few tokens (few.ts). */
  readonly few?: "8x4" | "4x16";
  /** How the kernels for many tokens work (tiles.ts). `shared` has a size and a type of cells. */
  readonly tile?: "registers" | "shared" | "int8" | "matrix";
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
  { weights, kv, reduce, arithmetic, few, tile, tile_size, cell, ...ffn }: Variant,
): string {
  if (path === "matrix/weights") return `formats/${weights}/weights`;
  if (path === "matrix/products" && `formats/${weights}/products_${arithmetic}` in LIBS)
    return `formats/${weights}/products_${arithmetic}`;
  const kind = arithmetic === "int8" ? "int8" : "float";
  const choices: Readonly<Record<string, string | number | undefined>> = {
    kv,
    reduce,
    team: reduce,
    sums: reduce,
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

const IMPORT = /^#import "lib\/([\w/]+)\.wgsl"$/;
// Directives must stand before everything else in a module, wherever the helper that needs
// them is imported.
const DIRECTIVE = /^(enable|requires|diagnostic)\b/;

/** The module of kernels/<name>.wgsl with the helpers that `variant` chooses. */
export function assemble(name: string, variant: Variant): Shader {
  const lines: string[] = [];
  const origins: string[] = [];
  const directives: string[] = [];
  const directiveOrigins: string[] = [];
  const seen = new Set<string>();
  const include = (source: string | undefined, file: string): void => {
    if (source === undefined) throw new Error(`kernels/${file} does not exist, or kernels/bundle.mjs has not been run`);
    for (const [i, line] of source.split("\n").entries()) {
      const wanted = IMPORT.exec(line)?.[1];
      const lib = wanted && helper(wanted, variant);
      if (lib === undefined) {
        const isDirective = DIRECTIVE.test(line);
        (isDirective ? directives : lines).push(line);
        (isDirective ? directiveOrigins : origins).push(`${file}:${i + 1}`);
      } else if (!seen.has(lib)) {
        seen.add(lib);
        include(LIBS[lib], `${lib}.wgsl`);
      }
    }
  };
  include(KERNELS[name], `${name}.wgsl`);
  const all = [...directiveOrigins, ...origins];
  return {
    code: [...directives, ...lines].join("\n"),
    reduces: [...seen].some((lib) => /^lib\/team\//.test(lib)),
    origin: (line) => all[line - 1] ?? `${name}.wgsl`,
  };
}
