// The sizes of a gated delta rule (kernels/delta_rule.ts), and whose keys a head takes.

export interface DeltaShape {
  readonly keyHeads: number; // Hk
  readonly valueHeads: number; // Hv
  readonly keyDim: number; // dk
  readonly valueDim: number; // dv
  /**
   * Whether neighbours among value heads take the q and k of different key heads, value head h
   * those of h mod Hk; else of floor(h / (Hv / Hk)).
   */
  readonly tiled: boolean;
}

/** The key head whose q and k a value head takes. */
export function keyHeadOf({ keyHeads, valueHeads, tiled }: DeltaShape, head: number): number {
  return tiled ? head % keyHeads : Math.floor(head / (valueHeads / keyHeads));
}
