// MXFP4 as gpt-oss publishes it: `x_blocks` U8 [.., rows, in / 32, 16], codes of two columns a
// byte, the first in the low nibble, and `x_scales` U8 [.., rows, in / 32], exponents. Read as one
// matrix of all rows.

import { FORMATS } from "../../../kernels/formats/index.ts";
import { WeightsError } from "../../errors.ts";
import type { MatrixSource, StoredTensor } from "../../tensor/types.ts";
import type { Packing, Parts } from "./packing.ts";
import { expectTensor } from "./tensors.ts";

/** From here on a weight may be larger than an f32. */
const MOST_EXPONENT = 0xfc;

export const mxfp4Packing: Packing = {
  label: "MXFP4",
  endings: ["_blocks", "_scales"],
  shape: (parts) => sizes(parts.get("_blocks")),
  matrix: matrixOf,
};

function sizes({ where, shape, dtype }: StoredTensor): [rows: number, cols: number] {
  if (dtype !== "U8" || shape.length < 3 || shape.at(-1) !== 16)
    throw new WeightsError(`${where}: expected U8 [.., rows, blocks, 16] of MXFP4, found ${dtype} [${shape}]`);
  return [shape.slice(0, -2).reduce((a, b) => a * b, 1), 32 * shape.at(-2)!];
}

function matrixOf(parts: Parts): MatrixSource {
  const { name } = parts;
  const stored = parts.get("_blocks");
  const [rows, cols] = sizes(stored);
  const scales = expectTensor(parts.get("_scales"), ["U8"], stored.shape.slice(0, -1), `of ${stored.where}`);
  const format = FORMATS.mxfp4;
  const blocks = cols / 32;

  async function readPlanes(first: number, count: number, codes: Uint8Array, exponents: Uint8Array): Promise<void> {
    if (first < 0 || count < 0 || first + count > rows)
      throw new RangeError(`rows ${first} to ${first + count} of ${rows} of ${name}`);
    const raw = new Uint8Array(count * blocks * 16);
    const own = new Uint8Array(count * blocks);
    await Promise.all([stored.read(first * blocks * 16, raw), scales.read(first * blocks, own)]);
    const bad = own.findIndex((exponent) => exponent > MOST_EXPONENT);
    if (bad !== -1)
      throw new WeightsError(
        `${scales.where}: exponent ${own[bad]} of row ${first + Math.floor(bad / blocks)}: at most ${MOST_EXPONENT} is a finite scale; the file is damaged`,
      );
    const [width, each] = [codes.length / count, exponents.length / count];
    turn(new Uint32Array(raw.buffer));
    codes.fill(0);
    exponents.fill(0);
    for (let r = 0; r < count; r++) {
      exponents.set(own.subarray(r * blocks, (r + 1) * blocks), r * each);
      codes.set(raw.subarray(r * blocks * 16, (r + 1) * blocks * 16), r * width);
    }
  }

  return {
    name,
    rows,
    cols,
    format,
    async readRows(first, count, into) {
      const groups = Math.ceil(cols / format.group);
      const [codes, exponents] = [new Uint8Array(count * groups * 32), new Uint8Array(count * groups * 2)];
      await readPlanes(first, count, codes, exponents);
      for (let r = 0; r < count; r++) {
        const planes = [codes.subarray(r * groups * 32), exponents.subarray(r * groups * 2)];
        format.unpack(planes, cols, into.subarray(r * cols, (r + 1) * cols));
      }
    },
    async readPlanes(wanted, first, count, [codes, exponents]) {
      if (wanted !== format) return false;
      await readPlanes(first, count, codes!, exponents!);
      return true;
    },
  };
}

/** Words of eight columns, in pairs of neighbours, in the order of kernels/formats/bits.ts. */
function turn(words: Uint32Array): void {
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    // Columns 0, 2, 4, 6 and 1, 3, 5, 7 as bytes; then the last two of each are in the high
    // nibbles of the first two.
    let even = word & 0x0f0f0f0f;
    let odd = (word >>> 4) & 0x0f0f0f0f;
    even |= even >>> 12;
    odd |= odd >>> 12;
    words[i] = (even & 255) | ((odd & 255) << 8) | ((even & 0xff00) << 8) | ((odd & 0xff00) << 16);
  }
}
