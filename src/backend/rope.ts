// RoPE as verbs take it, and by which of its frequencies each token of a batch turns.

/** What RoPE turns by: see there. */
export interface Frequencies {
  readonly inverse: Float64Array; // [rd/2]
  readonly factor: number;
}

/**
 * Rotary position embedding: in the first rd dimensions of a head the pair (i, i + rd/2) rotates by
 * position * inverse[i]; cos and sin are multiplied by `factor`. Dimensions from rd on do not
 * change. Layers with the same RoPE share one object, because backends keep a table for each.
 */
export interface Rope extends Frequencies {
  /** Where they depend on how long the text is: `inverse` and `factor` are those of short ones. */
  readonly lengths?: RopeLengths;
}

/**
 * RoPE that depends on the length of the text. Every text has an anchor, the length that it had
 * when it was read as one prompt: position p turns as in a text of max(anchor, p + 1) tokens. So
 * the anchor and the tokens determine all keys, however they were computed.
 */
export interface RopeLengths {
  /** For a text of n tokens; as many pairs as Rope.inverse. */
  at(n: number): Frequencies;
  /** Texts whose anchors have one key have the same keys and values where their tokens agree. */
  key(anchor: number): number;
  /** The length at which a text must be read again before it grows, as one prompt; or infinity. */
  until(anchor: number): number;
}

/** Of a Batch: what says how its tokens turn. */
interface Places {
  readonly positions: Uint32Array;
  readonly sequence: Uint32Array;
  readonly anchors?: Uint32Array;
}

/** Whether token t of the batch turns as in a longer text than the one that it ends. */
export function anchored({ positions, sequence, anchors }: Places, t: number): boolean {
  return anchors !== undefined && anchors[sequence[t]!]! > positions[t]! + 1;
}

/** How fast token t of the batch turns. */
export function frequenciesOf(rope: Rope, { positions, sequence, anchors }: Places, t: number): Frequencies {
  return rope.lengths?.at(Math.max(anchors?.[sequence[t]!] ?? 0, positions[t]! + 1)) ?? rope;
}
