// Reads an expert's record into a slot: in pieces where a file stores records, else packed
// on the fly.

import type { HostExperts } from "../backend/experts.ts";
import type { ExpertSource } from "../tensor/types.ts";
import { PieceReader, type ReadHow } from "./piece_reader.ts";

/**
 * Fills a slot with an expert's record.
 * @throws WeightsError, the signal's reason; the slot is not written after that
 */
export type ReadRecord = (layer: number, expert: number, slot: number, how: ReadHow) => Promise<void>;

/** Keeps packed records on disk for as long as the model is open. */
export interface Spill {
  /** Returns whether the record was kept: the disk may be full. */
  write(index: number, record: Uint8Array): Promise<boolean>;
  /** Reads back a record that write() kept. @throws WeightsError */
  read(index: number, into: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param sources [L][E]
 * @param spill where packed records are kept; null: a record is packed again after each eviction
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
    const { up, down } = experts.shape;
    if (record?.up === up && record.down === down) return pieces.read(record, experts.slot(slot), how);
    if (spill && spilled.has(index)) return spill.read(index, experts.slot(slot));
    // Packing uses all threads: one expert at a time.
    const turn = packing.then(() => pack(source, index, slot, how.signal));
    packing = turn.catch(() => {});
    await turn;
  };
}
