// A line chart as SVG: axes, a grid, markers and a legend.

import { at, type Drawing, pictureOf, text } from "./frame.ts";

export interface Line {
  readonly name: string;
  /** Index into the palette of frame.ts. */
  readonly colour: number;
  readonly dashed?: boolean;
  /** Whether the chart is about this line. */
  readonly bold?: boolean;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Chart {
  readonly title: string;
  readonly subtitle: string;
  /** `even`: ticks at equal distances, whatever their values; all points are at ticks. */
  readonly x: { readonly label: string; readonly ticks: readonly number[]; readonly even?: boolean };
  /** The first tick is the bottom, the last one the top. */
  readonly y: { readonly label: string; readonly ticks: readonly number[]; readonly show: (value: number) => string };
  /** In the order of the legend. */
  readonly lines: readonly Line[];
  /** A note below the legend. */
  readonly note?: string;
}

const HEIGHT = 440;
const AREA = { left: 70, right: 590, top: 78, bottom: 376 } as const;
const LEGEND = { x: 612, y: 92, step: 26 } as const;

/** One chart as a picture of its own. @param caption lines below it */
export function chartSvg(chart: Chart, caption: readonly string[] = []): string {
  return pictureOf(chart.title, [lineChart(chart)], caption);
}

export function lineChart({ title, subtitle, x, y, lines, note = "" }: Chart): Drawing {
  const scale = (ticks: readonly number[], from: number, to: number, even = false) => {
    const place = (value: number): number => (even ? ticks.indexOf(value) : value);
    const [low, high] = [place(ticks[0]!), place(ticks.at(-1)!)];
    // A single tick is in the middle.
    return (value: number) =>
      high === low ? (from + to) / 2 : from + ((place(value) - low) / (high - low)) * (to - from);
  };
  const [px, py] = [scale(x.ticks, AREA.left + 12, AREA.right - 12, x.even), scale(y.ticks, AREA.bottom, AREA.top)];
  const middle = (AREA.left + AREA.right) / 2;
  const centre = (AREA.top + AREA.bottom) / 2;
  const body = [
    text(AREA.left, 34, title, "text title"),
    text(AREA.left, 56, subtitle, "faint"),
    ...y.ticks.flatMap((tick) => [
      `<line class="grid" x1="${AREA.left}" x2="${AREA.right}" y1="${at(py(tick))}" y2="${at(py(tick))}"/>`,
      text(AREA.left - 10, py(tick) + 4, y.show(tick), "faint", "end"),
    ]),
    `<line class="axis" x1="${AREA.left}" x2="${AREA.right}" y1="${AREA.bottom}" y2="${AREA.bottom}"/>`,
    ...x.ticks.map((tick) => text(px(tick), AREA.bottom + 22, String(tick), "faint", "middle")),
    text(middle, AREA.bottom + 48, x.label, "text", "middle"),
    `<g transform="rotate(-90 20 ${centre})">${text(20, centre, y.label, "text", "middle")}</g>`,
    // The first lines of the legend are on top, and the chart's main line above all.
    ...lines
      .toReversed()
      .sort((a, b) => Number(a.bold ?? false) - Number(b.bold ?? false))
      .map((line) => drawn(line, px, py)),
    ...lines.map(entry),
    text(LEGEND.x, LEGEND.y + lines.length * LEGEND.step + 10, note, "faint"),
  ];
  return { body, height: HEIGHT };
}

function drawn(line: Line, px: (x: number) => number, py: (y: number) => number): string {
  const points = line.points.map(([x, y]) => [at(px(x)), at(py(y))] as const);
  const path = points.map((point) => point.join(",")).join(" ");
  const marks = points.map(
    ([x, y]) => `<circle class="f${line.colour}" cx="${x}" cy="${y}" r="${line.bold ? 4 : 3}"/>`,
  );
  return `<polyline class="line s${line.colour}" ${strokes(line)} points="${path}"/>${marks.join("")}`;
}

function entry(line: Line, index: number): string {
  const y = LEGEND.y + index * LEGEND.step;
  const sample = `<line class="s${line.colour}" ${strokes(line)} x1="${LEGEND.x}" x2="${LEGEND.x + 26}" y1="${y}" y2="${y}"/>`;
  return sample + text(LEGEND.x + 34, y + 4, line.name, line.bold ? "text strong" : "text");
}

function strokes({ bold, dashed }: Line): string {
  return `stroke-width="${bold ? 3 : 1.75}"${dashed ? ' stroke-dasharray="5 4"' : ""}`;
}
