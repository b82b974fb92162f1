// Small tensors beside quantized weights, read whole: scales, zero points, indices.

import { WeightsError } from "../../errors.ts";
import { bfloatToFloats, halfToFloats } from "../../tensor/half.ts";
import type { StoredTensor } from "../../tensor/types.ts";

/**
 * A tensor's elements as f32. @throws WeightsError for another dtype, or for one that is not finite
 */
export async function floatsOf(tensor: StoredTensor): Promise<Float32Array> {
  return toFloats(tensor, await bytesOf(tensor));
}

function toFloats(tensor: StoredTensor, raw: Uint8Array<ArrayBuffer>): Float32Array {
  let floats: Float32Array;
  if (tensor.dtype === "F32") floats = new Float32Array(raw.buffer);
  else {
    floats = new Float32Array(raw.length / 2);
    if (tensor.dtype === "F16") halfToFloats(new Uint16Array(raw.buffer), floats);
    else if (tensor.dtype === "BF16") bfloatToFloats(new Uint16Array(raw.buffer), floats);
    else throw new WeightsError(`${tensor.where} is of dtype ${tensor.dtype}; scales are read as F16, BF16 or F32`);
  }
  const bad = floats.findIndex((value) => !Number.isFinite(value));
  if (bad !== -1)
    throw new WeightsError(
      `${tensor.where} holds ${floats[bad]} at element ${bad}; every scale must be finite: the file is damaged`,
    );
  return floats;
}

/** The same, and as f16 bits if the tensor has them so. */
export async function scalesOf(tensor: StoredTensor): Promise<{ scales: Float32Array; halves: Uint16Array | null }> {
  const raw = await bytesOf(tensor);
  return { scales: toFloats(tensor, raw), halves: tensor.dtype === "F16" ? new Uint16Array(raw.buffer) : null };
}

/** A tensor of I32. */
export async function integersOf(tensor: StoredTensor): Promise<Int32Array> {
  return new Int32Array((await bytesOf(tensor)).buffer);
}

/** The group of each input. @throws WeightsError for one that there is not */
export async function groupsOf(tensor: StoredTensor, groups: number): Promise<Int32Array> {
  const index = await integersOf(tensor);
  const wrong = index.findIndex((g) => g < 0 || g >= groups);
  if (wrong === -1) return index;
  throw new WeightsError(
    `${tensor.where}: group of input ${wrong}: expected 0 to ${groups - 1}, found ${index[wrong]}`,
  );
}

/** All bytes of a tensor. */
export async function bytesOf(tensor: StoredTensor): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(tensor.bytes);
  await tensor.read(0, bytes);
  return bytes;
}

/** @throws WeightsError unless the tensor is of one of these dtypes and of this shape */
export function expectTensor(
  tensor: StoredTensor,
  dtypes: readonly string[],
  shape: readonly number[],
  why: string,
): StoredTensor {
  if (!dtypes.includes(tensor.dtype))
    throw new WeightsError(`${tensor.where}: expected dtype ${dtypes.join(" or ")}, found ${tensor.dtype} (${why})`);
  if (tensor.shape.length !== shape.length || shape.some((size, i) => size !== tensor.shape[i]))
    throw new WeightsError(`${tensor.where}: expected shape [${shape}], found [${tensor.shape}] (${why})`);
  return tensor;
}
