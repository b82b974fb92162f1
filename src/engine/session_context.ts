// What a session is made of.

import type { RopeLengths } from "../backend/rope.ts";
import type { Constraint } from "../grammar/types.ts";
import type { SamplingOptions } from "./api.ts";
import type { Claim } from "./claim.ts";
import type { Room } from "./room.ts";
import type { Speculation } from "./speculation.ts";
import type { Stepper } from "./stepper.ts";
import type { TextCodec } from "./text.ts";

/** What a session needs of its model. */
export interface SessionContext {
  readonly stepper: Stepper;
  readonly room: Room;
  readonly text: TextCodec;
  /** V */
  readonly vocab: number;
  /** Most positions of a session, prompt and answer together. */
  readonly context: number;
  /**
   * Drafts for a generation, whose steps may run `ahead` where nothing is drafted; absent: each
   * step computes one token of it.
   */
  readonly speculate?: ((ahead: boolean, constraint?: Constraint) => Speculation) | undefined;
  /** Where keys depend on the length of the text. */
  readonly lengths?: RopeLengths | null;
  /** Tokens that end a text. */
  readonly eos: ReadonlySet<number>;
  /** Texts that end every answer, from the model's folder. */
  readonly stops?: readonly string[];
  /** Defaults of sampling, from the model's folder. */
  readonly sampling: SamplingOptions;
  /**
   * The bytes of a session that holds `tokens`; `seen`: see Restored. Called between steps.
   */
  readonly save: (tokens: readonly number[], claim: Claim, seen: number) => Promise<Uint8Array>;
  readonly onClose: () => void;
}

/**
 * The state of a restored session. It is never shared with other sessions, because this process did
 * not compute it.
 */
export interface Restored {
  readonly tokens: readonly number[];
  /** Holds their blocks. */
  readonly claim: Claim;
  /** The first position that layers with a window have. */
  readonly seen: number;
}
