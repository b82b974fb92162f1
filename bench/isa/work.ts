// What a piece of machine code does, and where its loops are: the same for all makers of GPUs.

/** What one pass through a piece of code does, a lane: of a loop an iteration. */
export interface Work {
  readonly instructions: number;
  /** Of the vector ALU; two that are issued together count as one. */
  readonly valu: number;
  readonly salu: number;
  /** Multiplications with an addition, each number of a packed or dotted one. */
  readonly multiplyAdds: number;
  /** Loads from buffers, their bytes, and the most bytes that are on their way at once. */
  readonly loads: number;
  readonly loadBytes: number;
  readonly inFlight: number;
  /** Loads of values that all lanes share. */
  readonly scalarLoads: number;
  readonly stores: number;
  /** Reads and writes of what did not fit in registers. */
  readonly spills: number;
  /** Reads and writes of workgroup memory. */
  readonly ldsReads: number;
  readonly ldsWrites: number;
  readonly waits: number;
  readonly barriers: number;
  readonly branches: number;
}

/** What a listing is in numbers: the whole, each instruction once, and its innermost loops. */
export interface Works {
  readonly whole: Work;
  readonly loops: readonly Work[];
}

/**
 * The loops without another one within, as [first instruction, end), in order: a jump from
 * instruction `from` back to instruction `to` makes one.
 */
export function innermost(jumps: readonly { readonly from: number; readonly to: number }[]): [number, number][] {
  const ends = new Map<number, number>();
  for (const { from, to } of jumps) if (to <= from) ends.set(to, Math.max(ends.get(to) ?? 0, from + 1));
  const all = [...ends].sort(([a], [b]) => a - b);
  const within = ([from, to]: [number, number], [start, end]: [number, number]): boolean =>
    start >= from && end <= to && (start > from || end < to);
  return all.filter((loop) => !all.some((other) => within(loop, other)));
}
