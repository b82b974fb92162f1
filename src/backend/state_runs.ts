// Checks that the state stores of all backends share: the runs of a batch, and slots.

import { RequestError } from "../errors.ts";
import type { Batch } from "./ops.ts";
import type { Run, StateStore } from "./recurrent.ts";

/** The runs of a batch. @throws RequestError for a sequence in two runs, and for a missing slot */
export function runsOf({ positions, sequence, states }: Batch, { slots }: StateStore): Run[] {
  const runs: Run[] = [];
  const seen = new Set<number>();
  for (let first = 0; first < sequence.length; ) {
    const own = sequence[first]!;
    let end = first + 1;
    while (end < sequence.length && sequence[end] === own && positions[end] === positions[end - 1]! + 1) end++;
    if (seen.has(own))
      throw new RequestError(`batch: the rows of sequence ${own} are not adjacent, in order of position`);
    seen.add(own);
    const slot = states?.[own];
    if (slot === undefined || slot >= slots)
      throw new RequestError(`batch: sequence ${own} has no state (${slots} slots are reserved); name one in states`);
    runs.push({ first, rows: end - first, slot, fresh: positions[first] === 0 });
    first = end;
  }
  return runs;
}

/** @throws RequestError unless the slot exists, and the bytes for it are as many as it takes */
export function checkSlot({ slots, slotBytes }: StateStore, slot: number, bytes?: Uint8Array): void {
  if (!(Number.isInteger(slot) && slot >= 0 && slot < slots))
    throw new RequestError(`states: slot ${slot} does not exist; ${slots} are reserved`);
  if (bytes && bytes.length !== slotBytes)
    throw new RequestError(`states: a slot has ${slotBytes} bytes, found ${bytes.length}`);
}
