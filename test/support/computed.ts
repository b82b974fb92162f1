// Which formats have kernels: a definition may come first.

import { FORMATS } from "../../kernels/formats/index.ts";
import { MODULES } from "../../kernels/wasm.ts";
import { LIBS } from "../../kernels/wgsl.ts";
import type { Format } from "../../src/tensor/format.ts";

const ALL: readonly Format[] = Object.values(FORMATS);

export const IN_WGSL = ALL.filter(({ name }) => `formats/${name}/weights` in LIBS);
export const IN_SIMD = ALL.filter(({ name }) => name in MODULES.simd128);
export const IN_BOTH = IN_WGSL.filter((format) => IN_SIMD.includes(format));
