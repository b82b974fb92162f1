// Output of the commands: text to stdout at the reader's pace; readable sizes, times and rates.

import { once } from "node:events";

/** Writes to stdout, and waits if the reader is slower than the writer. */
export async function print(text: string, signal: AbortSignal): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, "drain", { signal });
}

/** "26.3 GB": decimal units, as usual for disks and models. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (power < units.length - 1 && bytes >= 1000 ** (power + 1)) power++;
  const value = bytes / 1000 ** power;
  return `${value.toFixed(power === 0 || value >= 100 ? 0 : 1)} ${units[power]}`;
}

/** "0.31 s" from milliseconds. */
export function formatSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

/** "8 s", "3 min 20 s", "1 h 12 min": an estimate of remaining time. */
export function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** "95.2 tok/s"; a dash where nothing was measured. */
export function formatRate(perSecond: number | null): string {
  if (perSecond === null || !Number.isFinite(perSecond) || perSecond === 0) return "-";
  return `${perSecond.toFixed(perSecond >= 100 ? 0 : perSecond >= 1 ? 1 : 3)} tok/s`;
}

/**
 * Text for a terminal, without control characters: a model may produce some, and the terminal would
 * obey them.
 */
export function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, "\uFFFD");
}
