// What the tier in RAM reads ahead: experts that the next layers will probably use, the nearest
// layer's first. A step's own reads overtake these, and what turns out wrong is given up.

import type { ExpertUse } from "../backend/experts.ts";
import type { Predict } from "./prediction.ts";

/**
 * Layers ahead that are predicted: with one alone the disk idles where its experts are there, and
 * three read more that is not used than they gain.
 */
const FARTHEST = 2;
/** Records in flight, at least: the second one's first piece follows the first one's last. */
const READS = 2;
/** Small ones, so many bytes: the step's thread, which starts reads, may be computing. */
const READ_BYTES = 32 * 2 ** 20;

/** The records of the tier, by layer and expert. */
export interface AheadRecords {
  /** Whether the record is in a slot, or on its way to one. */
  known(layer: number, expert: number): boolean;
  /** Starts a read that stop() may end; null: there is no slot for it. */
  start(layer: number, expert: number): Promise<void> | null;
  /** Gives up a read that start() began, unless a step waits for it. */
  stop(layer: number, expert: number): void;
}

interface Expert {
  readonly layer: number;
  readonly expert: number;
}

export class LookAhead {
  readonly #layers: number;
  readonly #predict: Predict;
  readonly #records: AheadRecords;
  readonly #most: number;
  /** Predicted experts, those that are wanted first, first. */
  #predicted: Expert[] = [];
  readonly #reading = new Set<Expert>();

  constructor(layers: number, recordBytes: number, predict: Predict, records: AheadRecords) {
    this.#layers = layers;
    this.#most = Math.max(READS, Math.floor(READ_BYTES / recordBytes));
    this.#predict = predict;
    this.#records = records;
  }

  /** Whether a record is likely to be used soon. */
  expects(layer: number, expert: number): boolean {
    return this.#predicted.some((one) => one.layer === layer && one.expert === expert);
  }

  /** The experts of a layer are known: other reads for it are given up. */
  arrives(layer: number, use: readonly ExpertUse[]): void {
    this.#predicted = this.#predicted.filter((one) => one.layer !== layer);
    for (const one of this.#reading) {
      if (one.layer !== layer) continue;
      this.#reading.delete(one);
      if (!use.some(({ expert }) => expert === one.expert)) this.#records.stop(layer, one.expert);
    }
  }

  /** Predicts from the rows x of a layer, and reads while there are slots for it. */
  from(layer: number, x: Float32Array, far = FARTHEST): void {
    const predicted: Expert[] = [];
    for (let ahead = 1; ahead <= far && layer + ahead < this.#layers; ahead++)
      for (const expert of this.#predict(layer, x, ahead)) predicted.push({ layer: layer + ahead, expert });
    this.#set(predicted);
    this.next();
  }

  /** Gives up all reads. */
  end(): void {
    this.#set([]);
  }

  #set(predicted: Expert[]): void {
    this.#predicted = predicted;
    for (const one of this.#reading) {
      if (this.expects(one.layer, one.expert)) continue;
      this.#reading.delete(one);
      this.#records.stop(one.layer, one.expert);
    }
  }

  /** Reads what is wanted next, if there is a slot for it. */
  next(): void {
    for (const one of this.#predicted) {
      if (this.#reading.size >= this.#most) return;
      const { layer, expert } = one;
      if (this.#records.known(layer, expert)) continue;
      const read = this.#records.start(layer, expert);
      if (read === null) return;
      this.#reading.add(one);
      const over = (): void => {
        if (this.#reading.delete(one)) this.next();
      };
      read.then(over, () => {
        // reported by the step that needs the record, which reads it again
        this.#predicted = this.#predicted.filter((other) => other !== one);
        over();
      });
    }
  }
}
