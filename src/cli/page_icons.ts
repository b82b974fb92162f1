// The page's icon: four experts, two of them hot.

import { deflateSync } from "node:zlib";
import { crc32 } from "../engine/crc32.ts";

/** Of a square of 16 units: left, top, and whether it is hot. */
const SQUARES: readonly (readonly [number, number, boolean])[] = [
  [3, 3, true],
  [9, 3, false],
  [3, 9, false],
  [9, 9, true],
];
const SIDE = 4;
const COLOURS = { ground: "#171614", hot: "#f0894f", cold: "#4b4740" } as const;

export function iconSvg(): string {
  const square = ([x, y, hot]: (typeof SQUARES)[number]): string =>
    `<rect x="${x}" y="${y}" width="${SIDE}" height="${SIDE}" rx="0.75" fill="${hot ? COLOURS.hot : COLOURS.cold}"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" fill="${COLOURS.ground}"/>${SQUARES.map(square).join("")}</svg>`;
}

/** The same as PNG, of so many pixels a side, for hosts of apps that take no SVG. */
export function iconPng(size: number): Uint8Array {
  const rows = Buffer.alloc(size * (1 + 3 * size)); // a filter, then red, green and blue of each pixel
  const unit = size / 16;
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const inside = SQUARES.find(
        ([left, top]) => x >= left * unit && x < (left + SIDE) * unit && y >= top * unit && y < (top + SIDE) * unit,
      );
      const colour = inside ? (inside[2] ? COLOURS.hot : COLOURS.cold) : COLOURS.ground;
      rows.writeUIntBE(Number.parseInt(colour.slice(1), 16), y * (1 + 3 * size) + 1 + 3 * x, 3);
    }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  header.set([8, 2], 8); // bits of a channel; colours without transparency
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(rows, { level: 9 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}
