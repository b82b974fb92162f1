// A chart over time by uPlot, in the page's colours, with its numbers as texts.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import UPlot from "uplot";
import type { Span } from "../live.ts";
import { useStore } from "../store.ts";
import { theme } from "../theme.ts";

export interface Line {
  readonly name: string;
  /** The name of a custom property of CSS. */
  readonly color: string;
  /** One for each time; null: none. */
  readonly values: readonly (number | null)[];
}

export interface ChartProps {
  readonly title: string;
  readonly span: Span;
  /** Seconds since 1970. */
  readonly times: readonly number[];
  readonly lines: readonly Line[];
  readonly format: (value: number) => string;
  /** Counts as bars, the lines one above the other; else lines. */
  readonly bars?: boolean;
}

const HEIGHT = 180;
/** Counts have no halves. */
const WHOLE = Array.from({ length: 15 }, (_, i) => [1, 2, 5].map((one) => one * 10 ** i)).flat();

export function Chart({ title, span, times, lines, format, bars = false }: ChartProps): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const look = useStore(theme);
  const dark = useDark();
  useEffect(() => {
    const element = place.current!;
    const style = getComputedStyle(element);
    // Where a custom property holds light-dark(), only a colour that is in use says which it is.
    const colorOf = (name: string): string => {
      const probe = document.createElement("span");
      probe.style.color = `var(${name})`;
      element.append(probe);
      const { color } = getComputedStyle(probe);
      probe.remove();
      return color;
    };
    const drawn = bars ? stacked(lines) : lines;
    const ink = colorOf("--quiet");
    const grid = { stroke: colorOf("--line"), width: 1 };
    const font = `12px ${style.fontFamily}`;
    const text = (value: number | null): string => (value === null ? "" : format(value));
    const time = timeFormat(span);
    const plot = new UPlot(
      {
        width: element.clientWidth || 300,
        height: HEIGHT,
        scales: { y: { range: (_, __, most) => [0, Math.max(most, 1) * 1.1] } },
        axes: [
          { stroke: ink, grid: { show: false }, ticks: grid, font, values: (_, all) => all.map(time) },
          {
            ...{ stroke: ink, grid, ticks: { show: false }, font, size: 64 },
            values: (_, all) => all.map(text),
            ...(bars && { incrs: WHOLE }),
          },
        ],
        legend: { live: false },
        series: [
          {},
          ...drawn.map(({ name, color }, i) => ({
            label: name,
            stroke: colorOf(color),
            width: bars ? 0 : 2,
            ...(bars && { fill: colorOf(color), paths: UPlot.paths.bars!({ size: [0.8, 40] }) }),
            points: { show: !bars, size: 4 },
            // Of bars the legend has the line's own value, not the sum.
            value: (_: UPlot, __: number, ___: number, at: number | null) =>
              at === null ? "" : text(lines[i]!.values[at] ?? null),
          })),
        ],
      },
      [times as number[], ...drawn.map(({ values }) => values as number[])],
      element,
    );
    const resize = (): void => plot.setSize({ width: element.clientWidth || 300, height: HEIGHT });
    const observer = new ResizeObserver(resize);
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.destroy();
    };
  }, [span, times, lines, bars, look, dark]);
  return (
    <figure class="chart">
      <figcaption>{title}</figcaption>
      <div ref={place} aria-hidden="true" />
    </figure>
  );
}

/** Times as the browser's language has them: those of a day, or days. */
function timeFormat(span: Span): (seconds: number) => string {
  const format = new Intl.DateTimeFormat(
    undefined,
    span === "30d" ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" },
  );
  return (seconds) => format.format(1000 * seconds);
}

/** Whether the system is dark. */
function useDark(): boolean {
  const query = matchMedia("(prefers-color-scheme: dark)");
  const [dark, setDark] = useState(query.matches);
  useEffect(() => {
    const change = (): void => setDark(query.matches);
    query.addEventListener("change", change);
    return () => query.removeEventListener("change", change);
  }, []);
  return dark;
}

/** The first lines in front: each is the sum of itself and those after it. */
function stacked(lines: readonly Line[]): readonly Line[] {
  return lines
    .map((line, i) => ({
      ...line,
      values: line.values.map((_, at) => lines.slice(0, i + 1).reduce((sum, { values }) => sum + (values[at] ?? 0), 0)),
    }))
    .toReversed();
}
