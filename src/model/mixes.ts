// Mixes: which format each matrix of a model is packed to, for a number of bits a weight.
//
// What each token passes through (attention) or decides it (the head) is a small part of a
// mixture's weights and gets more bits than experts, which are nearly all of them. Names are
// llama.cpp's where a mix takes the place of one of its own.

import { FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import { type Format, panelLayout } from "../tensor/format.ts";
import type { MatrixSource } from "../tensor/types.ts";
import type { ModelSources } from "./family.ts";
import { bytesOf, type FormatPlan, type HeldMatrix, heldMatrices, type MatrixRole } from "./formats.ts";

type Mix = Readonly<Record<Exclude<MatrixRole, keyof typeof LIKE>, PackableName>> & {
  /**
   * Formats of w1 and w3, and of w2, in the first eighth of layers (at least one): their errors
   * reach all others.
   */
  readonly first?: { readonly up?: PackableName; readonly down?: PackableName };
  /**
   * The format of w1 and w3 in the next quarter, whose errors cost least, where all weights take
   * more than `above` bits on average without it: in models so small that embedding, attention and
   * head are many of their weights.
   */
  readonly middle?: { readonly up: PackableName; readonly above: number };
};

export const MIXES = {
  standard: {
    up: "iq4_xs",
    down: "iq4_xs",
    embed: "q4_k",
    head: "q5_k",
    q: "q5_k",
    k: "q6_k",
    v: "q6_k",
    o: "q6_k",
    first: { down: "q5_0" },
    middle: { up: "q3_k", above: 4.5 },
  },
  q6_k: { up: "q6_k", down: "q6_k", embed: "q6_k", head: "q8", q: "q6_k", k: "q8", v: "q8", o: "q6_k" },
  q5_k_m: { up: "q5_k", down: "q5_k", embed: "q5_k", head: "q6_k", q: "q5_k", k: "q8", v: "q8", o: "q6_k" },
  q4_k_m: {
    up: "q4_k",
    down: "q5_k",
    embed: "q4_k",
    head: "q6_k",
    q: "q4_k",
    k: "q6_k",
    v: "q6_k",
    o: "q5_k",
    first: { up: "q5_k" },
  },
  q4_k_s: { up: "q4_k", down: "q4_k", embed: "q4_k", head: "q6_k", q: "q4_k", k: "q6_k", v: "q6_k", o: "q5_k" },
  iq4_xs: { up: "iq4_xs", down: "iq4_xs", embed: "iq4_xs", head: "q6_k", q: "iq4_xs", k: "q5_k", v: "q5_k", o: "q5_k" },
  mxfp4_moe: { up: "mxfp4", down: "mxfp4", embed: "q8", head: "q8", q: "q8", k: "q8", v: "q8", o: "q8" },
  q3_k_m: { up: "q3_k", down: "q4_k", embed: "iq4_xs", head: "q6_k", q: "q4_k", k: "q8", v: "q8", o: "q5_k" },
  q2_k: {
    up: "q2_k",
    down: "q3_k",
    embed: "iq4_xs",
    head: "q6_k",
    q: "iq4_xs",
    k: "q6_k",
    v: "q6_k",
    o: "iq4_xs",
    first: { up: "q3_k" },
  },
} as const satisfies Readonly<Record<string, Mix>>;

/** A mix of formats, by its name. */
export type MixName = keyof typeof MIXES;

/**
 * Formats of about the same error whose groups are shorter: rows of 448 columns, padded to 512,
 * take fewer bytes in them.
 */
const NARROWER: Readonly<Partial<Record<PackableName, PackableName>>> = {
  q5_k: "q5_1",
  q4_k: "q4_1",
  iq4_xs: "iq4_nl",
};

/**
 * Dense layers and shared experts, which each token passes through, have formats of attention; so
 * do gates of its results, and the products of latent attention those that they stand for.
 */
const LIKE = { ffnUp: "q", ffnDown: "o", outGate: "q", qb: "q", absorb: "v" } as const;

const isLike = (role: MatrixRole): role is keyof typeof LIKE => Object.hasOwn(LIKE, role);

/** The plan of a mix for a model. */
export function mixPlan(name: MixName, sources: ModelSources): FormatPlan {
  const mix: Mix = MIXES[name];
  const depth = sources.layers.length;
  const eighth = Math.max(1, Math.floor(depth / 8));
  const usual: FormatPlan = (matrix, role, layer) => {
    const own = role === "up" || role === "down" ? mix.first?.[role] : undefined;
    return fitted((layer < eighth ? own : undefined) ?? mix[isLike(role) ? LIKE[role] : role], matrix);
  };
  const { middle } = mix;
  if (!middle || meanBits(sources, usual) <= middle.above) return usual;
  const end = eighth + Math.ceil(depth / 4);
  return (matrix, role, layer) =>
    role === "up" && layer >= eighth && layer < end ? fitted(middle.up, matrix) : usual(matrix, role, layer);
}

/** Bits of a weight in a plan, on average over all matrices that it packs. */
function meanBits(sources: ModelSources, plan: FormatPlan): number {
  const held = heldMatrices(sources, plan);
  const sum = (of: (matrix: HeldMatrix) => number) => held.reduce((total, matrix) => total + of(matrix), 0);
  return (8 * sum(bytesOf)) / sum(({ rows, cols }) => rows * cols);
}

/** The format, or the narrower one if a row is smaller in it. */
function fitted(name: PackableName, { cols }: MatrixSource): Format {
  const [format, narrower] = [FORMATS[name], FORMATS[NARROWER[name] ?? name]];
  const bytes = (of: Format) => panelLayout(of, 8, cols).bytes;
  return bytes(narrower) < bytes(format) ? narrower : format;
}
