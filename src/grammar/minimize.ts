// Finds the states of an automaton that no text can distinguish (Hopcroft's algorithm).

/**
 * The block of each state: states share one if no text can distinguish them. Blocks are numbered by
 * their first state.
 * @param next state * classes + class -> state
 */
export function blocksOf(next: readonly number[], classes: number, accepts: readonly boolean[]): Int32Array {
  const N = accepts.length;
  const { offsets, sources } = inverse(next, classes, N);
  // States in the order of their blocks: block b is members[from[b]] ... members[to[b] - 1].
  const members = Int32Array.from(accepts.keys()).sort((a, b) => Number(accepts[a]) - Number(accepts[b]) || a - b);
  const place = new Int32Array(N);
  for (let i = 0; i < N; i++) place[members[i]!] = i;
  const block = new Int32Array(N);
  const from: number[] = [];
  const to: number[] = [];
  const marked: number[] = [];
  const rejecting = accepts.filter((is) => !is).length;
  for (const [start, end] of [
    [0, rejecting],
    [rejecting, N],
  ] as const) {
    if (start === end) continue;
    for (let i = start; i < end; i++) block[members[i]!] = from.length;
    from.push(start);
    to.push(end);
    marked.push(0);
  }
  const todo = from.map((_, b) => b);
  for (let b = todo.pop(); b !== undefined; b = todo.pop()) {
    const splitter = members.slice(from[b]!, to[b]!);
    for (let c = 0; c < classes; c++) {
      const touched: number[] = [];
      for (const state of splitter) {
        for (let i = offsets[c * (N + 1) + state]!; i < offsets[c * (N + 1) + state + 1]!; i++) {
          const source = sources[c * N + i]!;
          const own = block[source]!;
          // Marked states come first in their block.
          const target = from[own]! + marked[own]!;
          if (place[source]! < target) continue;
          if (marked[own] === 0) touched.push(own);
          const other = members[target]!;
          members[place[source]!] = other;
          place[other] = place[source]!;
          members[target] = source;
          place[source] = target;
          marked[own]!++;
        }
      }
      for (const own of touched) {
        const count = marked[own]!;
        marked[own] = 0;
        const size = to[own]! - from[own]!;
        if (count === size) continue;
        // The smaller part becomes a block of its own.
        const first = count <= size - count;
        const fresh = from.length;
        const [start, end] = first ? [from[own]!, from[own]! + count] : [from[own]! + count, to[own]!];
        from.push(start);
        to.push(end);
        marked.push(0);
        if (first) from[own] = end;
        else to[own] = start;
        for (let i = start; i < end; i++) block[members[i]!] = fresh;
        todo.push(fresh);
      }
    }
  }
  const ids = new Map<number, number>();
  return block.map((own) => {
    const id = ids.get(own) ?? ids.size;
    ids.set(own, id);
    return id;
  });
}

/**
 * For each class and state, the states that lead there: sources[c * N + offsets[c * (N + 1) +
 * state] ...].
 */
function inverse(next: readonly number[], classes: number, N: number): { offsets: Int32Array; sources: Int32Array } {
  const offsets = new Int32Array(classes * (N + 1));
  const sources = new Int32Array(classes * N);
  for (let c = 0; c < classes; c++) {
    const base = c * (N + 1);
    for (let state = 0; state < N; state++) offsets[base + next[state * classes + c]! + 1]!++;
    for (let state = 0; state < N; state++) offsets[base + state + 1]! += offsets[base + state]!;
    const at = offsets.slice(base, base + N);
    for (let state = 0; state < N; state++) sources[c * N + at[next[state * classes + c]!]!++] = state;
  }
  return { offsets, sources };
}
