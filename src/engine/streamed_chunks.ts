// The chunks of a prompt where experts are read while it is computed: each chunk reads every expert
// that is missing, so they grow for as long as computing waits for reads.

/** Doubles chunks if a step has waited for this part of its time. */
const STALLED = 0.1;

export interface StreamedChunksOptions {
  /** Tokens of the first chunks: what computing alone takes best. */
  readonly usual: number;
  /** Tokens that there is memory for. */
  readonly most: number;
  /** Milliseconds that steps have waited for experts until now. */
  readonly stalledMs: () => number;
  readonly clock?: () => number;
}

export class StreamedChunks {
  readonly #options: StreamedChunksOptions;
  #tokens: number;

  constructor(options: StreamedChunksOptions) {
    this.#options = options;
    this.#tokens = Math.min(options.usual, options.most);
  }

  /** Tokens of the next chunk. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Computes a step of so many tokens, and learns from it. */
  async step<T>(tokens: number, compute: () => Promise<T>): Promise<T> {
    const { most, stalledMs, clock = () => performance.now() } = this.#options;
    const [began, stalled] = [clock(), stalledMs()];
    const result = await compute();
    if (tokens >= this.#tokens && stalledMs() - stalled > STALLED * (clock() - began))
      this.#tokens = Math.min(2 * this.#tokens, most);
    return result;
  }
}
