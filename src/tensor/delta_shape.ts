// The sizes of a gated delta rule (kernels/delta_rule.ts).

/** Value head h takes the q and k of key head floor(h / (Hv / Hk)). */
export interface DeltaShape {
  readonly keyHeads: number; // Hk
  readonly valueHeads: number; // Hv
  readonly keyDim: number; // dk
  readonly valueDim: number; // dv
}
