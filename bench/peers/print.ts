// The table and the picture of a comparison.

import { formatBytes, formatRate, formatSeconds } from "../../src/cli/output.ts";
import { barChart } from "../chart/bars.ts";
import { pictureOf } from "../chart/frame.ts";
import type { Best, Row, Scaling, Unit } from "./compare.ts";

const FORMATS: Readonly<Record<Unit, (value: number) => string>> = {
  "tok/s": formatRate,
  ms: formatSeconds,
  bytes: formatBytes,
};
const WIDTHS = [34, 18, 18, 10, 22];

function line(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(WIDTHS[i]!) : cell.padStart(WIDTHS[i]!))).join("");
}

function times(ratio: number): string {
  return `${ratio.toFixed(ratio >= 100 ? 0 : ratio >= 0.1 ? 2 : 3)}x`;
}

function between([least, greatest]: readonly [number, number]): string {
  return `${times(least)} to ${times(greatest)}`;
}

/** The table as text. "2t": two threads had the better median. */
export function table(peer: string, rows: readonly Row[], scalings: readonly Scaling[]): string {
  const cell = ({ threads, median }: Best, unit: Unit): string => `${FORMATS[unit](median)} ${threads}t`;
  const lines = [line(["measure", "hotset", peer, "ratio", "spread"])];
  for (const { name, unit, ours, peer: other, ratio, spread } of rows)
    lines.push(line([name, cell(ours, unit), cell(other, unit), times(ratio), between(spread)]));
  for (const { name, threads, ratio, spread } of scalings)
    lines.push(line([`${name}, hotset`, `${threads[1]}t over ${threads[0]}t`, "", times(ratio), between(spread)]));
  return lines.join("\n");
}

/** Two figures, with their unit once if it is the same: there is little room behind a bar. */
function both(one: string, other: string): string {
  const unit = /[^\d.]*$/.exec(one)![0];
  return unit !== "" && other.endsWith(unit) ? `${one.slice(0, -unit.length)}, ${other}` : `${one}, ${other}`;
}

/** The rows as bars: a lower time and fewer bytes are better, so these ratios are turned round. */
export function picture(peer: string, rows: readonly Row[], caption: readonly string[]): string {
  const title = `hotset and ${peer}`;
  const drawing = barChart({
    title,
    subtitle:
      "equal weights; right of 1 hotset is better; thin lines: least and greatest round; figures: hotset, the other",
    label: "how many times better: tokens a second, time to load, bytes of memory",
    scale: "ratio",
    bars: rows.map(({ name, unit, ours, peer: other, ratio, spread: [least, greatest] }) => {
      const rate = unit === "tok/s";
      const value = rate ? ratio : 1 / ratio;
      return {
        name,
        colour: rate ? (name.includes("decode") ? 2 : 1) : 4,
        value,
        spread: rate ? [least, greatest] : [1 / greatest, 1 / least],
        note: `${times(value)}: ${both(FORMATS[unit](ours.median), FORMATS[unit](other.median))}`,
      };
    }),
  });
  return pictureOf(title, [drawing], caption);
}
