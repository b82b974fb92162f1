// The bytes of an answer that is still coming: what is there can be read before the rest is.

/** Who waits for the bytes before `end`. */
interface Waiting {
  readonly end: number;
  resolve(): void;
  reject(reason: unknown): void;
}

export class Coming {
  readonly #pieces: Uint8Array[] = [];
  /** Where each piece begins. */
  readonly #starts: number[] = [];
  #waiting: Waiting[] = [];
  #length = 0;
  #open = true;
  /** Why no more bytes come. */
  #reason: unknown = null;

  /**
   * @param pieces which are taken as fast as they come; they throw if they are not what was asked
   * for
   * @param failed called if they throw
   */
  constructor(pieces: AsyncIterable<Uint8Array>, failed: () => void = () => {}) {
    void this.#take(pieces, failed);
  }

  /** Whether more bytes come. */
  get open(): boolean {
    return this.#open;
  }

  /** Fills `into` from byte `offset` once so many have come. @throws what `pieces` throw */
  async copy(offset: number, into: Uint8Array): Promise<void> {
    const end = offset + into.length;
    if (end > this.#length) await this.#until(end);
    let at = this.#starts.findLastIndex((start) => start <= offset);
    for (let done = 0; done < into.length; at++) {
      const skipped = offset + done - this.#starts[at]!;
      const piece = this.#pieces[at]!.subarray(skipped, skipped + into.length - done);
      into.set(piece, done);
      done += piece.length;
    }
  }

  #until(end: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#open) this.#waiting.push({ end, resolve, reject });
      else reject(this.#reason);
    });
  }

  async #take(pieces: AsyncIterable<Uint8Array>, failed: () => void): Promise<void> {
    try {
      for await (const piece of pieces) {
        this.#starts.push(this.#length);
        this.#pieces.push(piece);
        this.#length += piece.length;
        for (const { end, resolve } of this.#waiting) if (end <= this.#length) resolve();
        this.#waiting = this.#waiting.filter(({ end }) => end > this.#length);
      }
      this.#reason = new RangeError(`an answer of ${this.#length} bytes has no more`);
    } catch (error) {
      this.#reason = error;
      failed();
    }
    this.#open = false;
    for (const { reject } of this.#waiting) reject(this.#reason);
    this.#waiting = [];
  }
}
