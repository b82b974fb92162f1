// Reads an expert's record into a slot: as it is stored, in pieces, or packed on the way where no file holds it as one.

import type { HostExperts } from "../backend/experts.ts";
import type { ExpertSource } from "../tensor/types.ts";
import { PieceReader, type ReadHow } from "./piece_reader.ts";

/** Fills a slot with the record of an expert. @throws WeightsError, the signal's reason; nothing is written to the slot after that */
export type ReadRecord = (layer: number, expert: number, slot: number, how: ReadHow) => Promise<void>;

/** Keeps records that were packed once, for as long as the model is open. */
export interface Spill {
  /** Whether it took the record: it may have no room. */
  write(index: number, record: Uint8Array): Promise<boolean>;
  /** A record that it took. @throws WeightsError */
  read(index: number, into: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param sources of each layer [L][E]
 * @param spill where packed records are kept; null: they are packed again when they are needed again
 */
export function recordReader(
  sources: readonly (readonly ExpertSource[])[],
  experts: HostExperts,
  spill: Spill | null,
): ReadRecord {
  const pieces = new PieceReader();
  const spilled = new Set<number>();
  let packing: Promise<unknown> = Promise.resolve();

  async function pack(source: ExpertSource, index: number, slot: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await experts.convert(source, slot, signal);
    if (await spill?.write(index, experts.slot(slot))) spilled.add(index);
  }

  return async (layer, expert, slot, how) => {
    const source = sources[layer]![expert]!;
    const { record } = source;
    const index = layer * experts.shape.count + expert;
    if (record?.precision === experts.shape.precision) return pieces.read(record, experts.slot(slot), how);
    if (spill && spilled.has(index)) return spill.read(index, experts.slot(slot));
    // Packing takes all threads: one after the other.
    const turn = packing.then(() => pack(source, index, slot, how.signal));
    packing = turn.catch(() => {});
    await turn;
  };
}
