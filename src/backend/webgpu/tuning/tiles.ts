// The variants of the matrix-matrix kernels: kernels/lib/matrix/tile_*.wgsl. Which is fastest
// depends on the adapter.

import type { Format } from "../../../tensor/format.ts";
import type { Buffer } from "../device/device.ts";
import type { Call } from "../dispatch/commands.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import type { Arithmetic, TileSize, Variant } from "../dispatch/shader.ts";
import type { PackedWeights } from "../weights/space.ts";

/** One variant of matmul, expert_up and expert_down for many tokens. */
export interface Tile {
  /** Rows of activations, and of weights, that a workgroup makes. */
  readonly tokens: number;
  readonly rows: number;
  /**
   * What activations are rounded to first, by quantize.wgsl or to_f16.wgsl; for int8 the format
   * must have that arithmetic.
   */
  readonly input: Arithmetic;
  readonly variant: Pick<Variant, "tile" | "tile_size" | "cell" | "arithmetic">;
}

/** What a device must have for all variants. */
export interface TileNeeds {
  readonly f16: boolean;
  readonly int8: boolean;
  /** The tile of its matrix units, if it has any. */
  readonly matrix: MatrixTile | null;
}

const shared = (size: TileSize, cell: "f32" | "f16"): Tile => ({
  tokens: size === 128 ? 128 : 64,
  rows: size === 64 ? 64 : 128,
  input: cell,
  variant: { tile: "shared", tile_size: size, cell, arithmetic: "f32" },
});

export const TILES = {
  /** Weights in registers: for CPUs, whose workgroup memory is memory. */
  registers: { tokens: 16, rows: 128, input: "f32", variant: { tile: "registers", arithmetic: "f32" } },
  /** Both sides in workgroup memory. */
  shared64: shared(64, "f32"),
  shared64x128: shared("64x128", "f32"),
  shared128: shared(128, "f32"),
  /** The same, held there as f16. */
  half64: shared(64, "f16"),
  half64x128: shared("64x128", "f16"),
  half128: shared(128, "f16"),
  /** The same in int8 products. */
  int8: { tokens: 64, rows: 64, input: "int8", variant: { tile: "int8", arithmetic: "int8" } },
  /**
   * The same on matrix units, which are an experiment of one WebGPU implementation: used only after
   * its results were compared. 16 x 16 by 16 x 16 in f16, summed in f32, as NVIDIA's are.
   */
  matrix: { tokens: 64, rows: 64, input: "f16", variant: { tile: "matrix", arithmetic: "f32" } },
  /** 8 x 8 by 8 x 8 in f32, as Apple's are. */
  matrix8: { tokens: 64, rows: 64, input: "f32", variant: { tile: "matrix8", arithmetic: "f32" } },
} as const satisfies Readonly<Record<string, Tile>>;

export type TileName = keyof typeof TILES;
export type MatrixTile = "matrix" | "matrix8";

/**
 * Rounded activations: the kernel that makes them, and words of a row of `groups` groups, as
 * kernels/lib/matrix/int8_stride.wgsl has it.
 */
export const ROUNDED = {
  f16: { kernel: "to_f16", words: (groups: number) => groups * 16 + 2 },
  int8: { kernel: "quantize", words: (groups: number) => groups * 8 + 4 * Math.ceil(groups / 4) },
} as const;

/** The variants that a device can run on weights of a format; the first needs nothing. */
export function tilesFor(format: Format, device: TileNeeds): readonly TileName[] {
  const quantized = takesInt8Tile(format);
  return (Object.keys(TILES) as TileName[]).filter((name) => {
    const { input, variant }: Tile = TILES[name];
    if (variant.tile?.startsWith("matrix") && name !== device.matrix) return false;
    return (input !== "f16" || device.f16) && (input !== "int8" || (device.int8 && quantized));
  });
}

/**
 * Whether the tile of int8 products can be of weights of a format: it takes a scale a group of 32.
 */
export function takesInt8Tile({ arithmetics, scaleColumns }: Format): boolean {
  return arithmetics.includes("int8") && scaleColumns === undefined;
}

/** What is used before anything is timed: by the kind of adapter. */
export function usualTile(software: boolean): TileName {
  return software ? "registers" : "shared64";
}

/** A kernel for many rows over all parts of its weights. */
export function tileCalls(
  encoder: StepEncoder,
  name: "matmul" | "expert_up" | "expert_down",
  { tokens, rows, variant }: Tile,
  w: PackedWeights,
  values: Readonly<Record<string, number>>,
  buffers: Readonly<Record<string, Buffer>>,
  files: Pick<Variant, "activation" | "biases"> = {},
): Call[] {
  return w.parts.map((part) =>
    encoder.call(name, {
      variant: { weights: w.format.name, ...variant, ...files },
      params: { ...values, tokens, rows },
      overrides: { BIAS: Number(w.biased), ...values },
      buffers: { ...part.buffers, ...buffers },
      part,
    }),
  );
}
