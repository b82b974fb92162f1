// What all pictures of benchmarks share: a style for light and dark pages, texts, a caption below.

import type { Machine } from "../result.ts";

/** Colours that colour-blind readers can tell apart (Okabe and Ito), for light and dark pages. */
const LIGHT = ["#8a8f98", "#0072b2", "#d55e00", "#a2558a", "#009e73", "#56a0d3", "#b07d00", "#6a4fbf"];
const DARK = ["#8a8f98", "#4ea3e0", "#ff8a3d", "#d98bc0", "#2fc89b", "#8cc8f2", "#e8b62f", "#a992f0"];

const STYLE = `
  .page { fill: #ffffff; } .text { fill: #1f2328; } .faint { fill: #59636e; } .grid { stroke: #d9dee4; } .axis { stroke: #59636e; }
  ${LIGHT.map((colour, i) => `.s${i} { stroke: ${colour}; } .f${i} { fill: ${colour}; }`).join(" ")}
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; } .text { fill: #e6edf3; } .faint { fill: #9198a1; } .grid { stroke: #2b323b; } .axis { stroke: #9198a1; }
    ${DARK.map((colour, i) => `.s${i} { stroke: ${colour}; } .f${i} { fill: ${colour}; }`).join(" ")}
  }
  text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
  .title { font-size: 17px; font-weight: 600; } .strong { font-weight: 600; } .line { fill: none; stroke-linejoin: round; }
  .caption { font-size: 11px; }`;

/** Width of every picture. */
export const WIDTH = 780;
/** Characters of a caption's line, and the height of one. */
const CAPTION = { characters: 118, line: 15, left: 24 } as const;

/** A drawing of a height, as elements of SVG. */
export interface Drawing {
  readonly body: readonly string[];
  readonly height: number;
}

/**
 * One picture of some drawings, one below the other. @param title what a screen reader says
 * @param caption lines below them, broken where they are too long
 */
export function pictureOf(title: string, drawings: readonly Drawing[], caption: readonly string[] = []): string {
  const lines = caption.flatMap((line) => broken(line, CAPTION.characters));
  let top = 0;
  const groups = drawings.map(({ body, height }) => {
    const group = top === 0 ? body.join("\n") : `<g transform="translate(0 ${top})">\n${body.join("\n")}\n</g>`;
    top += height;
    return group;
  });
  const height = top + (lines.length > 0 ? lines.length * CAPTION.line + 14 : 0);
  const words = lines.map((line, i) => text(CAPTION.left, top + 4 + i * CAPTION.line, line, "faint caption"));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(title)}">
<style>${STYLE}
</style>
<rect class="page" width="${WIDTH}" height="${height}" rx="8"/>
${[...groups, ...words].join("\n")}
</svg>
`;
}

/** The caption of a measurement: where, when and how it was taken. */
export function captionOf(head: {
  readonly machine: Machine;
  readonly commit: { readonly id: string | null };
  readonly date: string;
  readonly command: string;
}): string[] {
  const { machine, commit, date, command } = head;
  const memory = `${Math.round(machine.memoryBytes / 2 ** 30)} GiB`;
  const at = commit.id === null ? "" : ` at ${commit.id.slice(0, 7)}`;
  return [
    `${machine.cpu}, ${machine.cores} cores, ${memory}, ${machine.os}, Node ${machine.node}; ${date.slice(0, 10)}${at}`,
    command,
  ];
}

export function text(x: number, y: number, content: string, style: string, anchor = "start"): string {
  return `<text x="${at(x)}" y="${at(y)}" class="${style}" text-anchor="${anchor}">${escaped(content)}</text>`;
}

/** A coordinate, with one decimal at most. */
export function at(value: number): string {
  return value.toFixed(1).replace(/\.0$/, "");
}

/** Five ticks or so from 0 to at least `most`, in steps of 1, 2 or 5 times a power of ten. */
export function ticksTo(most: number): number[] {
  const power = 10 ** Math.floor(Math.log10(most / 5));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => most / n <= 6) ?? 10 * power;
  const count = Math.max(1, Math.ceil(most / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(12)));
}

function broken(line: string, most: number): string[] {
  const lines: string[] = [];
  let last = "";
  for (const word of line.split(" ")) {
    if (last !== "" && last.length + 1 + word.length > most) {
      lines.push(last);
      last = word;
    } else last = last === "" ? word : `${last} ${word}`;
  }
  return [...lines, last];
}

function escaped(content: string): string {
  return content.replace(/[&<>"]/g, (c) => `&#${c.codePointAt(0)};`);
}
