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

/** What a listing is in numbers: the whole, each instruction once, and its loops. */
export interface Works {
  readonly whole: Work;
  readonly loops: readonly Loop[];
}

/** An iteration of a loop, without what is in a loop within it. */
export interface Loop extends Work {
  /** Loops around it. */
  readonly depth: number;
}

/**
 * A listing in numbers.
 * @param jumps as loopsOf() takes them
 * @param count counts code that runs `times` times in turn: a loop twice, since loads of one
 * iteration may still be on their way in the next
 */
export function worksOf<Instruction>(
  code: readonly Instruction[],
  jumps: Parameters<typeof loopsOf>[0],
  count: (code: readonly Instruction[], times: number) => Work,
): Works {
  const loops = loopsOf(jumps).map(({ depth, own }) => {
    const iteration = own.map((i) => code[i]!);
    return { ...count(iteration, 2), depth };
  });
  return { whole: count(code, 1), loops };
}

/**
 * The instructions of each loop that are not in one within it, by index: a jump from instruction
 * `from` back to instruction `to` makes a loop.
 */
function loopsOf(
  jumps: readonly { readonly from: number; readonly to: number }[],
): { readonly depth: number; readonly own: readonly number[] }[] {
  const ends = new Map<number, number>();
  for (const { from, to } of jumps) if (to <= from) ends.set(to, Math.max(ends.get(to) ?? 0, from + 1));
  const all = [...ends].sort(([a], [b]) => a - b);
  return all.map(([from, to]) => {
    const within = all.filter(([start, end]) => start >= from && end <= to && end - start < to - from);
    const depth = all.filter(([start, end]) => start <= from && end >= to && end - start > to - from).length;
    const own = Array.from({ length: to - from }, (_, i) => from + i);
    return { depth, own: own.filter((i) => !within.some(([start, end]) => i >= start && i < end)) };
  });
}
