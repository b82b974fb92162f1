// q4_g128: 4-bit levels, an f16 scale and a zero point a group of 128 columns.

import { affine } from "../affine.ts";

export const q4_g128 = affine("q4_g128", 128);
