// Saves what a run has learned, so that the next one starts with the right residents and settings.

/** Ewma's scores of each layer's experts [L][E]. */
export type Scores = readonly (readonly number[])[];

const VERSION = 1;

/** What trials have found to be faster (ab_trial.ts); null: nothing yet. */
export interface Choices {
  /** Reading past the page cache. */
  readonly bypass: boolean | null;
  readonly prefetch: boolean | null;
}

export interface Learned extends Choices {
  readonly scores: Scores;
}

export function learnedToText({ scores, bypass, prefetch }: Learned): string {
  const rounded = scores.map((layer) => layer.map((score) => Number(score.toPrecision(6))));
  return `${JSON.stringify({ version: VERSION, scores: rounded, bypass, prefetch })}\n`;
}

/**
 * Parses what was saved. Null if it is damaged or of another model: the run then starts without.
 * @param counts experts of each layer [L]
 */
export function learnedFromText(text: string | null, counts: readonly number[]): Learned | null {
  if (text === null) return null;
  try {
    const { version, scores, bypass, prefetch } = JSON.parse(text) as Record<string, unknown>;
    const share = (score: unknown): boolean => typeof score === "number" && score >= 0 && score <= 1;
    const layer = (list: unknown, i: number): boolean =>
      Array.isArray(list) && list.length === counts[i] && list.every(share);
    if (version !== VERSION || !Array.isArray(scores) || scores.length !== counts.length) return null;
    if (!scores.every(layer)) return null;
    // Earlier versions saved no choices.
    const choice = (value: unknown): boolean | null => (typeof value === "boolean" ? value : null);
    return { scores: scores as Scores, bypass: choice(bypass), prefetch: choice(prefetch) };
  } catch {
    return null; // not ours, or truncated
  }
}
