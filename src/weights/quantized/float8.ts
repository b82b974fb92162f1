// Weights in FP8 with scales: `weight` F8_E4M3 [out, in] times the scale of each tile. Tiles at the
// ends of rows and columns may be smaller than the others.

import { E4M3 } from "../../../kernels/formats/f8/f8.ts";
import { FORMATS } from "../../../kernels/formats/index.ts";
import { WeightsError } from "../../errors.ts";
import type { Format } from "../../tensor/format.ts";
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

/** The largest weight without its scale. */
const LARGEST = 448;
/** Columns that share a scale in the format. */
const COLUMNS = 128;

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
  const held = across === 1 || wide % COLUMNS === 0;
  let read: Promise<Float32Array> | null = null;

  /** The bytes of some rows, to `raw`, and all scales. */
  async function readRaw(first: number, count: number, raw: Uint8Array): Promise<Float32Array> {
    if (first < 0 || count < 0 || first + count > rows)
      throw new RangeError(`rows ${first} to ${first + count} of ${rows} of ${name}`);
    read ??= factorsOf(scales);
    const [factors] = await Promise.all([read, weight.read(first * cols, raw)]);
    let carry = 0; // only a NaN's seven bits of one carry
    for (let i = 0; i < raw.length; i++) carry |= (raw[i]! & 127) + 1;
    if (carry & 128) refuse(first, raw);
    return factors;
  }

  function refuse(first: number, raw: Uint8Array): never {
    const bad = raw.findIndex((byte) => (byte & 127) === 127);
    throw new WeightsError(
      `${weight.where} holds NaN at [${first + Math.floor(bad / cols)}, ${bad % cols}]; every weight must be finite: the file is damaged or of a failed training`,
    );
  }

  return {
    name,
    rows,
    cols,
    async readRows(first, count, into) {
      // Read into the end of `into` and converted in place, from the front on.
      const size = count * cols;
      const raw = new Uint8Array(into.buffer, into.byteOffset + 3 * size, size);
      const factors = await readRaw(first, count, raw);
      for (let r = 0; r < count; r++) {
        const start = Math.floor((first + r) / tall) * across;
        for (let t = 0; t < across; t++) {
          const factor = factors[start + t]!;
          const end = Math.min((t + 1) * wide, cols);
          for (let c = t * wide; c < end; c++) into[r * cols + c] = E4M3[raw[r * cols + c]!]! * factor;
        }
      }
    },
    format: held ? FORMATS.f8 : FORMATS.f32,
    ...(held && {
      async readPlanes(format: Format, first: number, count: number, [bytes, scalePlane]: readonly Uint8Array[]) {
        if (format !== FORMATS.f8) return false;
        const raw = new Uint8Array(count * cols);
        const factors = await readRaw(first, count, raw);
        const padded = bytes!.length / count;
        const into = new Float32Array(scalePlane!.buffer, scalePlane!.byteOffset, scalePlane!.length / 4);
        const groups = into.length / count;
        bytes!.fill(0);
        into.fill(0);
        for (let r = 0; r < count; r++) {
          bytes!.set(raw.subarray(r * cols, (r + 1) * cols), r * padded);
          const start = Math.floor((first + r) / tall) * across;
          for (let g = 0; g * COLUMNS < cols; g++)
            into[r * groups + g] = factors[start + Math.floor((g * COLUMNS) / wide)]!;
        }
        return true;
      },
    }),
  };
}

/** All scales. @throws WeightsError for one that makes a weight infinite */
async function factorsOf(scales: StoredTensor): Promise<Float32Array> {
  const factors = await floatsOf(scales);
  const bad = factors.findIndex((factor) => !Number.isFinite(Math.fround(factor * LARGEST)));
  if (bad === -1) return factors;
  throw new WeightsError(
    `${scales.where} holds ${factors[bad]} at element ${bad}: weights of it are beyond f32; the file is damaged`,
  );
}

/** The scales of [down, across] tiles; one of all may have no dimensions. */
function scalesOf(tensor: StoredTensor, down: number, across: number): StoredTensor {
  const why = `config.json asks for ${down} by ${across} tiles`;
  const shape = down * across === 1 ? tensor.shape : [down, across];
  if (shape.reduce((a, b) => a * b, 1) !== down * across)
    throw new WeightsError(`${tensor.where}: expected one scale, found [${shape}] (${why})`);
  return expectTensor(tensor, ["F32", "BF16", "F16"], shape, why);
}
