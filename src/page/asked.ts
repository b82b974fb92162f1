// What this page has asked of its engine, for panels that follow the model: whose tokens they see.

/** A request of this page. */
export interface Asked {
  /** Another one for each request. */
  readonly number: number;
  /** The beginning of what was asked, in one line. */
  readonly title: string;
}

/** The last steps of an answer are told of after its end. */
const LATE_MS = 1000;
const TITLE = 40;

let count = 0;
/** The last request, and when its answer ended. */
let last: { readonly model: string; readonly asked: Asked; ended: number } | null = null;

/** Notes a request. Returns what to call at the end of its answer. */
export function noteAsked(model: string, text: string): () => void {
  const line = text.replace(/\s+/g, " ").trim();
  const characters = [...line];
  const title = characters.length > TITLE ? `${characters.slice(0, TITLE).join("")}…` : line;
  const mine = { model, asked: { number: ++count, title }, ended: Number.POSITIVE_INFINITY };
  last = mine;
  return () => {
    mine.ended = performance.now();
  };
}

/** Whose tokens a model computes now; null: not this page's. */
export function askedNow(model: string): Asked | null {
  return last?.model === model && performance.now() - last.ended <= LATE_MS ? last.asked : null;
}
