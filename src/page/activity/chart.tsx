// A chart over time by uPlot, in the page's colours, with its numbers as texts.

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import UPlot from "uplot";
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
  /** Seconds since 1970. */
  readonly times: readonly number[];
  readonly lines: readonly Line[];
  readonly format: (value: number) => string;
  /** Bars, the lines one above the other; else lines. */
  readonly bars?: boolean;
}

const HEIGHT = 180;

export function Chart({ title, times, lines, format, bars = false }: ChartProps): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const look = useStore(theme);
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
    const plot = new UPlot(
      {
        width: element.clientWidth || 300,
        height: HEIGHT,
        scales: { y: { range: (_, __, most) => [0, Math.max(most, 1) * 1.1] } },
        axes: [
          { stroke: ink, grid: { show: false }, ticks: grid, font },
          { stroke: ink, grid, ticks: { show: false }, font, size: 64, values: (_, all) => all.map(text) },
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
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const redraw = (): void => plot.redraw();
    dark.addEventListener("change", redraw);
    return () => {
      observer.disconnect();
      dark.removeEventListener("change", redraw);
      plot.destroy();
    };
  }, [times, lines, bars, look]);
  return (
    <figure class="chart">
      <figcaption>{title}</figcaption>
      <div ref={place} aria-hidden="true" />
    </figure>
  );
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
