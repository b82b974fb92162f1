// Which bytes of a file are there already: sorted ranges that do not touch.

/** Bytes [begin, end). */
export type Range = readonly [begin: number, end: number];

export class Ranges {
  #ranges: Range[] = [];

  constructor(ranges: Iterable<Range> = []) {
    for (const [begin, end] of ranges) this.add(begin, end);
  }

  add(begin: number, end: number): void {
    if (end <= begin) return;
    const apart = this.#ranges.filter(([b, e]) => e < begin || b > end);
    const joined = this.#ranges.filter(([b, e]) => e >= begin && b <= end);
    const from = Math.min(begin, ...joined.map(([b]) => b));
    const to = Math.max(end, ...joined.map(([, e]) => e));
    this.#ranges = [...apart, [from, to] as const].sort((a, b) => a[0] - b[0]);
  }

  /** The number of bytes. */
  get bytes(): number {
    return this.#ranges.reduce((sum, [begin, end]) => sum + end - begin, 0);
  }

  /** Bytes from the beginning without a gap. */
  get front(): number {
    const first = this.#ranges[0];
    return first?.[0] === 0 ? first[1] : 0;
  }

  /** What is missing of the first `size` bytes. */
  missing(size: number): Range[] {
    const gaps: Range[] = [];
    let at = 0;
    for (const [begin, end] of this.#ranges) {
      if (begin > at) gaps.push([at, Math.min(begin, size)]);
      at = Math.max(at, end);
    }
    if (at < size) gaps.push([at, size]);
    return gaps.filter(([begin, end]) => begin < end);
  }

  toJSON(): readonly Range[] {
    return this.#ranges;
  }
}
