// A chart of horizontal bars as SVG: a name, a bar with its spread, and a note behind each.

import { at, type Drawing, text, ticksTo, WIDTH } from "./frame.ts";

export interface Bar {
  readonly name: string;
  /** Index into the palette of frame.ts. */
  readonly colour: number;
  /** Null: there is none, and `note` says why. */
  readonly value: number | null;
  /** The least and the greatest measured. */
  readonly spread?: readonly [number, number] | undefined;
  /** Text at the right end, as the two sides' own figures. */
  readonly note: string;
}

export interface Bars {
  readonly title: string;
  readonly subtitle: string;
  /** What the axis counts, with its unit. */
  readonly label: string;
  /** "ratio": bars start at 1, and twice is as far from it as half. */
  readonly scale: "linear" | "ratio";
  readonly bars: readonly Bar[];
}

const AREA = { left: 230, right: 560, top: 76, row: 26 } as const;
const NOTE = 574;

export function barChart({ title, subtitle, label, scale, bars }: Bars): Drawing {
  const bottom = AREA.top + bars.length * AREA.row + 6;
  const values = bars.flatMap(({ value, spread }) => (value === null ? [] : [value, ...(spread ?? [])]));
  const ticks = scale === "ratio" ? ratioTicks(values) : ticksTo(Math.max(...values, 1e-3));
  const place = (value: number): number => (scale === "ratio" ? Math.log2(value) : value);
  const [low, high] = [place(ticks[0]!), place(ticks.at(-1)!)];
  const px = (value: number): number => AREA.left + ((place(value) - low) / (high - low)) * (AREA.right - AREA.left);
  const origin = px(scale === "ratio" ? 1 : 0);
  const body = [
    text(24, 34, title, "text title"),
    text(24, 56, subtitle, "faint"),
    ...ticks.flatMap((tick) => [
      `<line class="grid" x1="${at(px(tick))}" x2="${at(px(tick))}" y1="${AREA.top - 4}" y2="${bottom}"/>`,
      text(
        px(tick),
        bottom + 18,
        scale === "ratio" ? `${tick < 1 ? `1/${1 / tick}` : tick}x` : String(tick),
        "faint",
        "middle",
      ),
    ]),
    ...bars.map((bar, i) => drawn(bar, AREA.top + i * AREA.row, px, origin)),
    `<line class="axis" x1="${at(origin)}" x2="${at(origin)}" y1="${AREA.top - 4}" y2="${bottom}"/>`,
    text((AREA.left + AREA.right) / 2, bottom + 40, label, "text", "middle"),
  ];
  return { body, height: bottom + 60 };
}

function drawn({ name, colour, value, spread, note }: Bar, y: number, px: (value: number) => number, origin: number) {
  const middle = y + AREA.row / 2;
  const label = text(AREA.left - 12, middle + 4, name, "text", "end");
  const said = text(NOTE, middle + 4, fitted(note), "faint");
  if (value === null) return label + said;
  const [from, to] = [Math.min(origin, px(value)), Math.max(origin, px(value))];
  const bar = `<rect class="f${colour}" x="${at(from)}" y="${y + 5}" width="${at(Math.max(to - from, 1))}" height="${AREA.row - 10}"/>`;
  const whisker = spread
    ? `<path class="axis" fill="none" stroke-width="1.5" d="M${at(px(spread[0]))} ${middle}H${at(px(spread[1]))}M${at(px(spread[0]))} ${middle - 4}v8M${at(px(spread[1]))} ${middle - 4}v8"/>`
    : "";
  return label + bar + whisker + said;
}

/** A note that does not leave the picture. */
function fitted(note: string): string {
  const most = Math.floor((WIDTH - NOTE - 10) / 6.4);
  return note.length > most ? `${note.slice(0, most - 1)}…` : note;
}

/** Powers of two around 1 and all values. */
function ratioTicks(values: readonly number[]): number[] {
  const least = Math.floor(Math.log2(Math.min(0.5, ...values.filter((value) => value > 0))));
  const most = Math.ceil(Math.log2(Math.max(2, ...values)));
  const step = Math.ceil((most - least) / 7);
  const [from, to] = [Math.floor(least / step) * step, Math.ceil(most / step) * step];
  return Array.from({ length: (to - from) / step + 1 }, (_, i) => 2 ** (from + i * step));
}
