// Weights in FP8 with scales: `weight` F8_E4M3 [out, in] times the scale of each tile, in f32. Tiles
// at the ends of rows and columns may be smaller than the others.

import { WeightsError } from "../../errors.ts";
import type { MatrixSource, StoredTensor } from "../../tensor/types.ts";
import type { Packing, Parts } from "./packing.ts";
import { expectTensor, floatsOf } from "./tensors.ts";

export interface Float8Options {
  readonly label: string;
  /** The ending of the scales' name. */
  readonly scale: string;
  /** Rows and columns of a tile; Infinity: all. */
  readonly tile: readonly [rows: number, cols: number];
}

/** E4M3 without infinities: a sign, four bits of exponent, three of fraction; 0x7f and 0xff are NaN. */
const E4M3: Float32Array = Float32Array.from({ length: 256 }, (_, byte) => {
  const [sign, exponent, fraction] = [byte & 128 ? -1 : 1, (byte >>> 3) & 15, byte & 7];
  if ((byte & 127) === 127) return Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -9 : (1 + fraction / 8) * 2 ** (exponent - 7));
});

export function float8Packing(options: Float8Options): Packing {
  return {
    label: options.label,
    endings: [options.scale, ".weight", ".input_scale"],
    shape: (parts) => sizes(parts),
    matrix: (parts) => matrixOf(parts, options),
  };
}

function sizes(parts: Parts): [number, number] {
  const { where, shape, dtype } = parts.get(".weight");
  if (shape.length === 2 && dtype === "F8_E4M3") return [shape[0]!, shape[1]!];
  throw new WeightsError(
    `${where}: expected F8_E4M3 of two dimensions, since it has scales, found ${dtype} [${shape}]`,
  );
}

function matrixOf(parts: Parts, { scale, tile }: Float8Options): MatrixSource {
  const { name } = parts;
  const weight = parts.get(".weight");
  const [rows, cols] = sizes(parts);
  const [tall, wide] = [Math.min(tile[0], rows), Math.min(tile[1], cols)];
  const across = Math.ceil(cols / wide);
  const scales = scalesOf(parts.get(scale), Math.ceil(rows / tall), across);
  let read: Promise<Float32Array> | null = null;
  return {
    name,
    rows,
    cols,
    async readRows(first, count, into) {
      if (first < 0 || count < 0 || first + count > rows)
        throw new RangeError(`rows ${first} to ${first + count} of ${rows} of ${name}`);
      read ??= floatsOf(scales);
      const factors = await read;
      // Read into the end of `into` and converted in place, from the front on.
      const size = count * cols;
      const raw = new Uint8Array(into.buffer, into.byteOffset + 3 * size, size);
      await weight.read(first * cols, raw);
      for (let r = 0; r < count; r++) {
        const row = first + r;
        for (let t = 0; t < across; t++) {
          const factor = factors[Math.floor(row / tall) * across + t]!;
          const end = Math.min((t + 1) * wide, cols);
          for (let c = t * wide; c < end; c++) into[r * cols + c] = E4M3[raw[r * cols + c]!]! * factor;
        }
      }
      const bad = into.subarray(0, size).findIndex((value) => !Number.isFinite(value));
      if (bad !== -1)
        throw new WeightsError(
          `${weight.where} holds ${into[bad]} at [${first + Math.floor(bad / cols)}, ${bad % cols}] (byte ${first * cols + bad} of the tensor); every weight must be finite: the file is damaged or of a failed training`,
        );
    },
  };
}

/** The scales of [down, across] tiles; one of all may have no dimensions. */
function scalesOf(tensor: StoredTensor, down: number, across: number): StoredTensor {
  const why = `config.json asks for ${down} by ${across} tiles`;
  const shape = down * across === 1 ? tensor.shape : [down, across];
  if (shape.reduce((a, b) => a * b, 1) !== down * across)
    throw new WeightsError(`${tensor.where}: expected one scale, found [${shape}] (${why})`);
  return expectTensor(tensor, ["F32", "BF16", "F16"], shape, why);
}
