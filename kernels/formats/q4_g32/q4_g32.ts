// q4_g32: 4-bit levels, an f16 scale and a zero point a group of 32 columns.

import { affine } from "../affine.ts";

export const q4_g32 = affine("q4_g32", 32);
