// Saves how often each expert was used, so that the next run starts with the right residents.

/** Ewma's scores of each layer's experts [L][E]. */
export type Scores = readonly (readonly number[])[];

const VERSION = 1;

export function scoresToText(scores: Scores): string {
  const rounded = scores.map((layer) => layer.map((score) => Number(score.toPrecision(6))));
  return `${JSON.stringify({ version: VERSION, scores: rounded })}\n`;
}

/**
 * Parses scores. Null if they are damaged or of another model: the run then starts without.
 * @param counts experts of each layer [L]
 */
export function scoresFromText(text: string | null, counts: readonly number[]): Scores | null {
  if (text === null) return null;
  try {
    const { version, scores } = JSON.parse(text) as { version?: unknown; scores?: unknown };
    const share = (score: unknown): boolean => typeof score === "number" && score >= 0 && score <= 1;
    const layer = (list: unknown, i: number): boolean =>
      Array.isArray(list) && list.length === counts[i] && list.every(share);
    if (version !== VERSION || !Array.isArray(scores) || scores.length !== counts.length) return null;
    if (!scores.every(layer)) return null;
    return scores as Scores;
  } catch {
    return null; // not ours, or truncated
  }
}
