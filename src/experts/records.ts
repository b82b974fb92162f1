// Reads an expert's record into a slot: as it is stored, or packed on the way where no file holds it as one.

import type { HostExperts } from "../backend/experts.ts";
import type { ExpertSource } from "../tensor/types.ts";

/** Fills a slot with the record of an expert. @throws WeightsError, the signal's reason */
export type ReadRecord = (layer: number, expert: number, slot: number, signal?: AbortSignal) => Promise<void>;

/** @param sources of each layer [L][E] */
export function recordReader(sources: readonly (readonly ExpertSource[])[], experts: HostExperts): ReadRecord {
  let packing: Promise<unknown> = Promise.resolve();
  return async (layer, expert, slot, signal) => {
    const source = sources[layer]![expert]!;
    const { record } = source;
    if (record?.precision === experts.shape.precision) {
      await record.read(0, experts.slot(slot), signal);
      return;
    }
    // Packing takes all threads: one after the other.
    const turn = packing.then(() => {
      signal?.throwIfAborted();
      return experts.convert(source, slot, signal);
    });
    packing = turn.catch(() => {});
    await turn;
  };
}
