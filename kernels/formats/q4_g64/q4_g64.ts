// q4_g64: 4-bit levels, an f16 scale and a zero point a group of 64 columns.

import { affine } from "../affine.ts";

export const q4_g64 = affine("q4_g64", 64);
