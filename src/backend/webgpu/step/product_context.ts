// What products with weights need of the backend, and what they check.

import { RequestError } from "../../../errors.ts";
import type { Tuning } from "../tuning/tuning.ts";
import type { GpuMatrix } from "../weights/space.ts";
import type { Norms } from "./norms.ts";
import type { RoundingContext } from "./rounded.ts";
import type { GpuTensor } from "./scratch.ts";

/** What the products need of the backend. */
export interface ProductContext extends RoundingContext {
  readonly tuning: Tuning;
  readonly norms: Norms;
}

export function checkWidth(x: GpuTensor, w: GpuMatrix): void {
  if (x.shape[1] !== w.cols)
    throw new RequestError(`${w.name}: a matrix [${w.rows}, ${w.cols}] for rows of ${x.shape[1]}`);
}
