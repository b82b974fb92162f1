// Reads an expert's record into a slot: in pieces where a file stores records, else converted on
// the fly.

import type { HostExperts } from "../backend/experts.ts";
import { isInBlocks } from "../tensor/load.ts";
import type { ExpertSource } from "../tensor/types.ts";
import { PieceReader, type ReadHow } from "./piece_reader.ts";

/**
 * Fills a slot with an expert's record.
 * @throws WeightsError, the signal's reason; the slot is not written after that
 */
export type ReadRecord = (layer: number, expert: number, slot: number, how: ReadHow) => Promise<void>;

/** Keeps packed records on disk for as long as the model is open. */
export interface Spill {
  /** Bytes of the records that are kept. */
  readonly bytes: number;
  /** Why no more of them are kept, in words; null: there is room. */
  readonly refused: string | null;
  /** Returns whether the record was kept: the disk may be full. */
  write(index: number, record: Uint8Array): Promise<boolean>;
  /** Reads back a record that write() kept. @throws WeightsError */
  read(index: number, into: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/**
 * Conversions of a host's records, one at a time: each uses all threads, and the same working
 * memory, whichever tier it is for. Those that a step waits for go first.
 */
export class Conversions {
  readonly #waiting: { readonly how: ReadHow; readonly start: () => Promise<void> }[] = []; // oldest first
  #busy = false;

  /** @throws errors of `convert` */
  inTurn(how: ReadHow, convert: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ how, start: () => convert().then(resolve, reject) });
      if (!this.#busy) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#busy = true;
    while (this.#waiting.length > 0) {
      const urgent = this.#waiting.findIndex(({ how }) => how.urgent());
      await this.#waiting.splice(Math.max(0, urgent), 1)[0]!.start();
    }
    this.#busy = false;
  }
}

/**
 * @param sources [L][E]
 * @param spill where packed records are kept; null: a record is packed again after each eviction.
 * Experts in blocks of their own formats are read from their file again: that is no slower.
 * @param conversions shared by all tiers of a host
 */
export function recordReader(
  sources: readonly (readonly ExpertSource[])[],
  experts: HostExperts,
  spill: Spill | null,
  conversions = new Conversions(),
): ReadRecord {
  const pieces = new PieceReader();
  const spilled = new Set<number>();

  return async (layer, expert, slot, how) => {
    const source = sources[layer]![expert]!;
    const { record } = source;
    const index = layer * experts.shape.count + expert;
    const { up, down } = experts.shape;
    if (record?.up === up && record.down === down) return pieces.read(record, experts.slot(slot), how);
    if (spill && spilled.has(index)) return spill.read(index, experts.slot(slot));
    await conversions.inTurn(how, async () => {
      how.signal.throwIfAborted();
      await experts.convert(source, slot, how.signal, how.bypass);
      if (!isInBlocks(source, up, down) && (await spill?.write(index, experts.slot(slot)))) spilled.add(index);
    });
  };
}
