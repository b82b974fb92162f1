// The table of weight formats. A format is a folder beside this file.

import { RequestError } from "../../src/errors.ts";
import type { Format } from "../../src/tensor/format.ts";
import { bf16 } from "./bf16/bf16.ts";
import { f8 } from "./f8/f8.ts";
import { f16 } from "./f16/f16.ts";
import { f32 } from "./f32/f32.ts";
import { iq1 } from "./iq1/iq1.ts";
import { iq2 } from "./iq2/iq2.ts";
import { iq3_s } from "./iq3_s/iq3_s.ts";
import { iq3_xxs } from "./iq3_xxs/iq3_xxs.ts";
import { iq4_nl } from "./iq4_nl/iq4_nl.ts";
import { iq4_xs } from "./iq4_xs/iq4_xs.ts";
import { mxfp4 } from "./mxfp4/mxfp4.ts";
import { q2_k } from "./q2_k/q2_k.ts";
import { q3_k } from "./q3_k/q3_k.ts";
import { q4 } from "./q4/q4.ts";
import { q4_1 } from "./q4_1/q4_1.ts";
import { q4_g32 } from "./q4_g32/q4_g32.ts";
import { q4_g64 } from "./q4_g64/q4_g64.ts";
import { q4_g128 } from "./q4_g128/q4_g128.ts";
import { q4_k } from "./q4_k/q4_k.ts";
import { q5_0 } from "./q5_0/q5_0.ts";
import { q5_1 } from "./q5_1/q5_1.ts";
import { q5_k } from "./q5_k/q5_k.ts";
import { q6_k } from "./q6_k/q6_k.ts";
import { q8 } from "./q8/q8.ts";

/** By name, the most precise first. */
export const FORMATS = {
  f32,
  f16,
  bf16,
  q8,
  f8,
  q6_k,
  q5_k,
  q5_1,
  q5_0,
  q4,
  q4_k,
  q4_1,
  q4_g32,
  q4_g64,
  q4_g128,
  iq4_nl,
  iq4_xs,
  mxfp4,
  iq3_s,
  q3_k,
  iq3_xxs,
  q2_k,
  iq2,
  iq1,
} as const satisfies Readonly<Record<string, Format>>;

export type FormatName = keyof typeof FORMATS;
/** Formats that hotset can pack weights to; the others come from files only. */
export type PackableName = {
  [Name in FormatName]: (typeof FORMATS)[Name] extends { readonly pack: unknown } ? Name : never;
}[FormatName];

export const PACKABLE = (Object.keys(FORMATS) as FormatName[]).filter(
  (name): name is PackableName => "pack" in FORMATS[name],
);

/**
 * Formats that `--weights auto` chooses among for weights in f32, f16 or bf16, the
 * most precise first.
 */
export const AUTOMATIC = ["f32", "f16", "q8", "q4"] as const satisfies readonly PackableName[];
/** The same for weights in bf16: f16 would lose the smallest of them, and takes more time. */
export const AUTOMATIC_BF16 = ["f32", "bf16", "q8", "q4"] as const satisfies readonly PackableName[];

/** The format with a name. @throws RequestError if there is none */
export function formatOf(name: string): Format {
  const found = Object.hasOwn(FORMATS, name) ? FORMATS[name as FormatName] : undefined;
  if (found) return found;
  throw new RequestError(`weights: expected one of ${Object.keys(FORMATS).join(", ")}, found ${JSON.stringify(name)}`);
}
