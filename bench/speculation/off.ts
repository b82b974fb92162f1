// Generations without drafts, of a model that was opened to draft: a second copy of the model would
// lie elsewhere in memory, which alone makes some 5 % of a token's time.

import { Drafting } from "../../src/engine/drafting.ts";
import type { Speculation } from "../../src/engine/speculation.ts";

const { begin } = Drafting.prototype;

/** Whether generations that begin from now on draft, and look for what they may draft. */
export function switchDrafts(on: boolean): void {
  Drafting.prototype.begin = on ? begin : () => null as unknown as Speculation;
}
