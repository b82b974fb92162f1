// Mixes: which format each matrix of a model is packed to, for a number of bits a weight.
//
// What each token passes through (attention) or decides it (the head) is a small part of a
// mixture's weights and gets more bits than experts, which are nearly all of them. Names are
// llama.cpp's where a mix takes the place of one of its own.

import { FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import { type Format, panelLayout } from "../tensor/format.ts";
import type { MatrixSource } from "../tensor/types.ts";
import type { FormatPlan, MatrixRole } from "./formats.ts";

type Mix = Readonly<Record<Exclude<MatrixRole, "q" | "k" | "v" | "o">, PackableName>> & {
  readonly q: PackableName;
  readonly kv: PackableName;
  readonly o: PackableName;
  /** Formats of w1 and w3, and of w2, in the first layer of every eight (at least one). */
  readonly first?: { readonly up?: PackableName; readonly down?: PackableName };
};

export const MIXES = {
  standard: { up: "iq4_xs", down: "iq4_xs", embed: "iq4_xs", head: "q5_k", q: "iq4_xs", kv: "q5_k", o: "iq4_xs" },
  q6_k: { up: "q6_k", down: "q6_k", embed: "q6_k", head: "q8", q: "q6_k", kv: "q8", o: "q6_k" },
  q5_k_m: { up: "q5_k", down: "q5_k", embed: "q5_k", head: "q6_k", q: "q5_k", kv: "q8", o: "q6_k" },
  q4_k_m: {
    up: "q4_k",
    down: "q5_k",
    embed: "q4_k",
    head: "q6_k",
    q: "q4_k",
    kv: "q6_k",
    o: "q5_k",
    first: { up: "q5_k" },
  },
  q4_k_s: { up: "q4_k", down: "q4_k", embed: "q4_k", head: "q6_k", q: "q4_k", kv: "q6_k", o: "q5_k" },
  iq4_xs: { up: "iq4_xs", down: "iq4_xs", embed: "iq4_xs", head: "q6_k", q: "iq4_xs", kv: "q5_k", o: "q5_k" },
  mxfp4_moe: { up: "mxfp4", down: "mxfp4", embed: "q8", head: "q8", q: "q8", kv: "q8", o: "q8" },
  q3_k_m: { up: "q3_k", down: "q4_k", embed: "iq4_xs", head: "q6_k", q: "q4_k", kv: "q8", o: "q5_k" },
  q2_k: {
    up: "q2_k",
    down: "q3_k",
    embed: "iq4_xs",
    head: "q6_k",
    q: "iq4_xs",
    kv: "q6_k",
    o: "iq4_xs",
    first: { up: "q3_k" },
  },
} as const satisfies Readonly<Record<string, Mix>>;

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

/** The plan of a mix. @param depth layers of the model */
export function mixPlan(name: MixName, depth: number): FormatPlan {
  const mix: Mix = MIXES[name];
  const early = Math.max(1, Math.floor(depth / 8));
  return (matrix, role, layer) => {
    if (role === "up" || role === "down")
      return fitted((layer < early ? mix.first?.[role] : undefined) ?? mix[role], matrix);
    return fitted(role === "k" || role === "v" ? mix.kv : mix[role], matrix);
  };
}

/** The format, or the narrower one if a row is smaller in it. */
function fitted(name: PackableName, { cols }: MatrixSource): Format {
  const [format, narrower] = [FORMATS[name], FORMATS[NARROWER[name] ?? name]];
  const bytes = (of: Format) => panelLayout(of, 8, cols).bytes;
  return bytes(narrower) < bytes(format) ? narrower : format;
}
