// Reads an expert's record into a slot: in pieces where a file stores records, else converted on
// the fly.

import { onAbort } from "../abort.ts";
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

/** What a conversion is told of those beside it. */
interface Beside {
  readonly lane: 0 | 1;
  readonly asked: () => void;
}

interface Conversion {
  readonly how: ReadHow;
  /** Whether its working memory is apart from another one's that is alike. */
  readonly apart: boolean;
  readonly start: (beside: Beside) => Promise<void>;
}

/**
 * Conversions of a host's records, one after the other: each uses all threads, and the same working
 * memory, whichever tier it is for. Those that a step waits for go first. Of experts in blocks the
 * next one begins to read when the one before has no more to ask for: the disk is never idle.
 */
export class Conversions {
  readonly #waiting: Conversion[] = []; // oldest first
  /** Those that have begun, by lane. */
  readonly #lanes: [Conversion | null, Conversion | null] = [null, null];
  /** Those that still have to ask for blocks. */
  readonly #asking = new Set<Conversion>();

  /** @throws errors of `convert` */
  inTurn(how: ReadHow, apart: boolean, convert: (beside: Beside) => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const one = { how, apart, start: (beside: Beside) => convert(beside).then(resolve, reject) };
      this.#waiting.push(one);
      onAbort(how.signal, () => {
        const at = this.#waiting.indexOf(one);
        if (at < 0) return;
        this.#waiting.splice(at, 1);
        reject(how.signal.reason);
      });
      this.#next();
    });
  }

  #next(): void {
    const next = this.#waiting.find(({ how }) => how.urgent()) ?? this.#waiting[0];
    // A step's own read waits for no other's blocks.
    if ([...this.#asking].some(({ how }) => how.urgent() || !next?.how.urgent())) return;
    const running = this.#lanes.filter((one) => one !== null);
    if (!next || running.length === 2 || running.some(({ apart }) => !apart || !next.apart)) return;
    this.#waiting.splice(this.#waiting.indexOf(next), 1);
    const lane = this.#lanes[0] === null ? 0 : 1;
    this.#lanes[lane] = next;
    this.#asking.add(next);
    const asked = (): void => {
      if (this.#asking.delete(next)) this.#next();
    };
    const stay = onAbort(next.how.signal, asked);
    void next.start({ lane, asked }).then(() => {
      stay();
      this.#lanes[lane] = null;
      this.#asking.delete(next);
      this.#next();
    });
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
    const inBlocks = isInBlocks(source, up, down);
    await conversions.inTurn(how, inBlocks, async (beside) => {
      how.signal.throwIfAborted();
      await experts.convert(source, slot, { ...how, ...beside });
      if (!inBlocks && (await spill?.write(index, experts.slot(slot)))) spilled.add(index);
    });
  };
}
