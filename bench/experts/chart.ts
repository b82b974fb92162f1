// A line chart as SVG text: axes, a grid, markers and a legend, for light and dark pages.

export interface Line {
  readonly name: string;
  /** Index into the palette below. */
  readonly colour: number;
  readonly dashed?: boolean;
  /** Whether the chart is about this line. */
  readonly bold?: boolean;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Chart {
  readonly title: string;
  readonly subtitle: string;
  readonly x: { readonly label: string; readonly ticks: readonly number[] };
  /** The first tick is the bottom, the last one the top. */
  readonly y: { readonly label: string; readonly ticks: readonly number[]; readonly show: (value: number) => string };
  /** In the order of the legend. */
  readonly lines: readonly Line[];
  /** A note below the legend. */
  readonly note?: string;
}

/** Colours that colour-blind readers can tell apart (Okabe and Ito), for light and dark pages. */
const LIGHT = ["#8a8f98", "#0072b2", "#d55e00", "#a2558a", "#009e73", "#56a0d3", "#b07d00", "#6a4fbf"];
const DARK = ["#8a8f98", "#4ea3e0", "#ff8a3d", "#d98bc0", "#2fc89b", "#8cc8f2", "#e8b62f", "#a992f0"];

const SIZE = { width: 780, height: 440 } as const;
const AREA = { left: 70, right: 590, top: 78, bottom: 376 } as const;
const LEGEND = { x: 612, y: 92, step: 26 } as const;

const STYLE = `
  .page { fill: #ffffff; } .text { fill: #1f2328; } .faint { fill: #59636e; } .grid { stroke: #d9dee4; } .axis { stroke: #59636e; }
  ${LIGHT.map((colour, i) => `.s${i} { stroke: ${colour}; } .f${i} { fill: ${colour}; }`).join(" ")}
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; } .text { fill: #e6edf3; } .faint { fill: #9198a1; } .grid { stroke: #2b323b; } .axis { stroke: #9198a1; }
    ${DARK.map((colour, i) => `.s${i} { stroke: ${colour}; } .f${i} { fill: ${colour}; }`).join(" ")}
  }
  text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
  .title { font-size: 17px; font-weight: 600; } .strong { font-weight: 600; } .line { fill: none; stroke-linejoin: round; }`;

export function chartSvg({ title, subtitle, x, y, lines, note = "" }: Chart): string {
  const scale = (ticks: readonly number[], from: number, to: number) => {
    const [low, high] = [ticks[0]!, ticks.at(-1)!];
    // A single tick is in the middle.
    return (value: number) => (high === low ? (from + to) / 2 : from + ((value - low) / (high - low)) * (to - from));
  };
  const [px, py] = [scale(x.ticks, AREA.left + 12, AREA.right - 12), scale(y.ticks, AREA.bottom, AREA.top)];
  const middle = (AREA.left + AREA.right) / 2;
  const centre = (AREA.top + AREA.bottom) / 2;
  const body = [
    `<rect class="page" width="${SIZE.width}" height="${SIZE.height}" rx="8"/>`,
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
  const { width, height } = SIZE;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(title)}">
<style>${STYLE}
</style>
${body.join("\n")}
</svg>
`;
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

function text(x: number, y: number, content: string, style: string, anchor = "start"): string {
  return `<text x="${at(x)}" y="${at(y)}" class="${style}" text-anchor="${anchor}">${escaped(content)}</text>`;
}

function at(value: number): string {
  return value.toFixed(1).replace(/\.0$/, "");
}

function escaped(content: string): string {
  return content.replace(/[&<>"]/g, (c) => `&#${c.codePointAt(0)};`);
}
