// Sorts the assignments (token, choice) by expert, ascending within an expert, so that each expert
// runs once.

/**
 * ids [T K] -> starts [E + 1] and sorted [T K]: expert e has sorted[starts[e]] .. sorted[starts[e +
 * 1] - 1]. Example, K = 2: ids [1, 0, 1, 2] -> starts [0, 1, 3, 4], sorted [1, 0, 2, 3]. Ids from E
 * on belong to no expert: sorted ends at starts[E].
 */
export function group(ids: Uint32Array, E: number, starts: Uint32Array, sorted: Uint32Array): void {
  starts.fill(0);
  for (const e of ids) if (e < E) starts[e + 1] = starts[e + 1]! + 1;
  for (let e = 0; e < E; e++) starts[e + 1] = starts[e + 1]! + starts[e]!;
  // Filling moves each start to its end, which is the next expert's start: shifting by one puts
  // them back.
  for (let assignment = 0; assignment < ids.length; assignment++) {
    const e = ids[assignment]!;
    if (e >= E) continue;
    sorted[starts[e]!] = assignment;
    starts[e] = starts[e]! + 1;
  }
  starts.copyWithin(1, 0, E);
  starts[0] = 0;
}
