// Prompt lookup: drafts the tokens that follow a text from what followed its last tokens earlier in
// it. Texts that repeat themselves, code that is edited and answers that quote have such places.

/** Earlier places of the last two tokens that are compared, the latest first. */
const PLACES = 16;
/** Longest match that is told from longer ones. */
const LONGEST = 32;

/** An earlier place like the end of the text. */
export interface Match {
  /** Index of the token that followed there. */
  readonly at: number;
  /** How many tokens before it are those at the end of the text: 2 to 32. */
  readonly length: number;
}

/** The tokens of one text, in which earlier places like its end are found. */
export class PromptLookup {
  readonly #vocab: number;
  readonly #tokens: number[] = [];
  /** By pair of tokens: the index behind it, where it was last seen. */
  readonly #last = new Map<number, number>();
  /** By index: the index behind the same pair of tokens before it; 0: none. */
  readonly #before: number[] = [];

  constructor(vocab: number) {
    this.#vocab = vocab;
  }

  get length(): number {
    return this.#tokens.length;
  }

  push(id: number): void {
    this.#note();
    this.#tokens.push(id);
  }

  /** The longest match, the latest of equal ones; null: the last two tokens are new. */
  find(): Match | null {
    const end = this.#tokens.length;
    let found: Match | null = null;
    let at = this.#last.get(this.#pair(end)) ?? 0;
    for (let places = 0; at > 0 && places < PLACES; places++) {
      const length = this.equal(at);
      if (found === null || length > found.length) found = { at, length };
      at = this.#before[at] ?? 0;
    }
    return found;
  }

  /** How many tokens before `at` are those at the end of the text, LONGEST at most. */
  equal(at: number): number {
    const tokens = this.#tokens;
    const end = tokens.length;
    const most = Math.min(LONGEST, at);
    let length = 0;
    while (length < most && tokens[at - 1 - length] === tokens[end - 1 - length]) length++;
    return length;
  }

  /** The token that is expected `ahead` tokens behind the end of the text, from a place on. */
  after(at: number, ahead: number): number {
    const end = this.#tokens.length;
    const period = end - at;
    // Behind the end the text is expected to go on as it did from the match.
    return this.#tokens[at + (ahead % period)]!;
  }

  /** Notes where the last pair of tokens was seen, before a token follows it. */
  #note(): void {
    const end = this.#tokens.length;
    if (end < 2) return;
    const pair = this.#pair(end);
    this.#before[end] = this.#last.get(pair) ?? 0;
    this.#last.set(pair, end);
  }

  #pair(end: number): number {
    return end < 2 ? -1 : this.#tokens[end - 2]! * this.#vocab + this.#tokens[end - 1]!;
  }
}
