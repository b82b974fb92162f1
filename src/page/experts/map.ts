// Draws a map of layers by experts: a pixel for each expert, scaled by the canvas.

/** Steps of brightness. */
const SHADES = 64;

export interface Palette {
  /** By number of the place: disk, RAM, GPU, none. */
  readonly places: readonly string[];
  readonly lit: string;
  /** A difference: used more by the first, by the second; and by both alike. */
  readonly less: string;
  readonly more: string;
  readonly same: string;
}

/** Colours as the canvas has them in memory, for each place and shade. */
export interface Shades {
  readonly lit: Uint32Array; // [places, SHADES]
  readonly difference: Uint32Array; // [2 SHADES + 1]
}

type Rgb = readonly [number, number, number];

/** @param rgbOf a colour of CSS as red, green and blue, 0 to 255 */
export function shadesOf(palette: Palette, rgbOf: (color: string) => Rgb): Shades {
  const word = ([r, g, b]: Rgb): number => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  const mixed = (from: Rgb, to: Rgb, part: number): number => {
    const at = (i: 0 | 1 | 2): number => Math.round(from[i] + (to[i] - from[i]) * part);
    return word([at(0), at(1), at(2)]);
  };
  const lit = rgbOf(palette.lit);
  const places = palette.places.map(rgbOf);
  const [less, more, same] = [palette.less, palette.more, palette.same].map(rgbOf) as [Rgb, Rgb, Rgb];
  return {
    lit: Uint32Array.from({ length: places.length * SHADES }, (_, i) =>
      mixed(places[Math.floor(i / SHADES)]!, lit, (i % SHADES) / (SHADES - 1)),
    ),
    difference: Uint32Array.from({ length: 2 * SHADES + 1 }, (_, i) => {
      const part = (i - SHADES) / SHADES;
      return mixed(same, part < 0 ? less : more, Math.abs(part));
    }),
  };
}

/**
 * Writes pixels [L, E] of experts by place and heat.
 * @param places null: all in `otherwise`
 * @param fade what the heat is multiplied by, 0 to 1
 */
export function paintHeat(
  pixels: Uint32Array,
  { lit }: Shades,
  places: Uint8Array | null,
  heat: Float32Array,
  fade: number,
): void {
  const scale = fade * (SHADES - 1);
  for (let cell = 0; cell < pixels.length; cell++) {
    const place = places === null ? 0 : Math.min(3, places[cell]!);
    pixels[cell] = lit[place * SHADES + ((heat[cell]! * scale) | 0)]!;
  }
}

/** Writes pixels [L, E] of differences, -1 to 1. */
export function paintDifference(pixels: Uint32Array, { difference }: Shades, map: Float32Array): void {
  for (let cell = 0; cell < pixels.length; cell++) pixels[cell] = difference[Math.round((map[cell]! + 1) * SHADES)]!;
}

/** Sizes of a cell in CSS pixels, for a map of `width` x `height` cells in a room of `room`. */
export function cellSize(width: number, height: number, room: number): { readonly x: number; readonly y: number } {
  const x = Math.max(2, Math.min(40, Math.floor((2 * room) / width) / 2));
  return { x, y: Math.max(5, Math.min(28, Math.floor(400 / height))) };
}
