// Tensors of safetensors files as matrices, read and converted to f32 in bounded pieces.

import { WeightsError } from "../errors.ts";
import type { Format } from "../tensor/format.ts";
import { areFinite, bfloatToFloats, halfToFloats } from "../tensor/half.ts";
import type { MatrixSource, StoredBytes, StoredDtype, WeightSource } from "../tensor/types.ts";
import type { Files } from "./files.ts";
import { checkFinite } from "./finite.ts";
import type { SafetensorsHeader, TensorEntry } from "./safetensors.ts";

/** The most bytes to read before they are converted and checked. */
const PIECE = 16 * 2 ** 20;
const BYTES = { F32: 4, F16: 2, BF16: 2 } as const satisfies Record<StoredDtype, number>;

interface Placed {
  readonly file: string;
  readonly entry: TensorEntry;
}

/**
 * The tensors of one or more files as one source. It holds no weights and no buffer: bytes are read
 * directly into the caller's array, so that matrices can be read concurrently.
 * @param index tensor name -> file name: the file to use if several hold a tensor of this name
 * @throws WeightsError if two files hold a tensor of one name and the index does not choose.
 */
export function safetensorsSource(
  files: Files,
  headers: readonly SafetensorsHeader[],
  index?: ReadonlyMap<string, string>,
): WeightSource {
  const tensors = new Map<string, Placed>();
  for (const { file, tensors: entries } of headers) {
    for (const [name, entry] of entries) {
      if ((index?.get(name) ?? file) !== file) continue;
      const other = tensors.get(name);
      if (other !== undefined)
        throw new WeightsError(
          `${files.label}: tensor ${name} is both in ${other.file} and in ${file}; one of the files is of another checkpoint`,
        );
      tensors.set(name, { file, entry });
    }
  }
  const find = (name: string): Placed => {
    const placed = tensors.get(name);
    if (placed === undefined) throw new WeightsError(`${files.label}: tensor ${name} is missing`);
    return placed;
  };
  return {
    label: files.label,
    has: (name) => tensors.has(name),
    names: () => tensors.keys(),
    shape: (name) => find(name).entry.shape,
    matrix(name, firstRow, rows) {
      const { file, entry } = find(name);
      const where = `${files.label}: ${file}: tensor ${name}`;
      if (!isStored(entry.dtype))
        throw new WeightsError(`${where} is of dtype ${entry.dtype}; F32, F16 and BF16 are read`);
      return new StoredMatrix(files, file, name, entry, entry.dtype, firstRow, rows);
    },
    bytes(name) {
      const { file, entry } = find(name);
      if (entry.dtype !== "U8")
        throw new WeightsError(`${files.label}: ${file}: tensor ${name}: expected dtype U8, found ${entry.dtype}`);
      return storedBytes(files, file, name, entry);
    },
    stored(name) {
      const { file, entry } = find(name);
      const { dtype, shape } = entry;
      return {
        where: `${files.label}: ${file}: tensor ${name}`,
        dtype,
        shape,
        ...storedBytes(files, file, name, entry),
      };
    },
  };
}

function isStored(dtype: string): dtype is StoredDtype {
  return Object.hasOwn(BYTES, dtype);
}

function storedBytes(files: Files, file: string, name: string, { begin, end }: TensorEntry): StoredBytes {
  const bytes = end - begin;
  return {
    bytes,
    async read(offset, into, signal, bypass) {
      if (offset < 0 || offset + into.length > bytes)
        throw new RangeError(`bytes ${offset} to ${offset + into.length} of ${bytes} of ${name}`);
      for (let at = 0; at < into.length; at += PIECE) {
        signal?.throwIfAborted();
        await files.read(file, begin + offset + at, into.subarray(at, Math.min(at + PIECE, into.length)), bypass);
      }
    },
  };
}

class StoredMatrix implements MatrixSource {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  readonly #files: Files;
  readonly #file: string;
  readonly #entry: TensorEntry;
  readonly dtype: StoredDtype;
  /** Index in the tensor of this matrix's first element. */
  readonly #start: number;

  constructor(
    files: Files,
    file: string,
    name: string,
    entry: TensorEntry,
    dtype: StoredDtype,
    firstRow = 0,
    rows?: number,
  ) {
    this.cols = entry.shape.at(-1) ?? 1;
    const all = entry.shape.slice(0, -1).reduce((product, size) => product * size, 1);
    this.rows = rows ?? all - firstRow;
    this.name = name;
    this.#files = files;
    this.#file = file;
    this.#entry = entry;
    this.dtype = dtype;
    this.#start = firstRow * this.cols;
    if (firstRow < 0 || this.rows < 0 || firstRow + this.rows > all)
      throw new RangeError(`rows ${firstRow} to ${firstRow + this.rows} of ${name}, which has ${all}`);
  }

  soon(): void {
    this.#files.ahead?.(this.#file, this.#entry.begin + this.#start * BYTES[this.dtype]);
  }

  async readRows(first: number, count: number, into: Float32Array): Promise<void> {
    this.#expectRows(first, count);
    const size = count * this.cols;
    if (into.length < size) throw new RangeError(`${count} rows of ${this.name} into ${into.length} floats`);
    const step = PIECE / BYTES[this.dtype];
    for (let at = 0; at < size; at += step) {
      const piece = into.subarray(at, Math.min(at + step, size));
      await this.#readPiece(this.#start + first * this.cols + at, piece);
    }
  }

  #expectRows(first: number, count: number): void {
    if (first < 0 || count < 0 || first + count > this.rows)
      throw new RangeError(`rows ${first} to ${first + count} of ${this.rows} of ${this.name}`);
  }

  /** Elements of 16 bits in the format of their dtype, which holds them as they are. */
  async readPlanes(format: Format, first: number, count: number, [plane]: readonly Uint8Array[]): Promise<boolean> {
    if (this.dtype === "F32" || format.name !== this.dtype.toLowerCase()) return false;
    this.#expectRows(first, count);
    const size = count * this.cols;
    const raw = plane!.length === 2 * size ? plane! : new Uint8Array(2 * size); // else rows are padded
    for (let at = 0; at < raw.length; at += PIECE) {
      const byte = this.#entry.begin + 2 * (this.#start + first * this.cols) + at;
      await this.#files.read(this.#file, byte, raw.subarray(at, Math.min(at + PIECE, raw.length)));
    }
    if (!areFinite(this.dtype, new Uint16Array(raw.buffer, raw.byteOffset, size)))
      await this.readRows(first, count, new Float32Array(size)); // says which
    if (raw === plane) return true;
    const rowBytes = plane!.length / count;
    plane!.fill(0);
    for (let r = 0; r < count; r++) plane!.set(raw.subarray(2 * r * this.cols, 2 * (r + 1) * this.cols), r * rowBytes);
    return true;
  }

  /** Elements `index ..` of the tensor, as many as `into` holds. */
  async #readPiece(index: number, into: Float32Array): Promise<void> {
    // 16-bit elements are read into the end of `into` and converted in place: no second buffer.
    const bytes = into.length * BYTES[this.dtype];
    const raw = new Uint8Array(into.buffer, into.byteOffset + into.byteLength - bytes, bytes);
    await this.#files.read(this.#file, this.#entry.begin + index * BYTES[this.dtype], raw);
    if (this.dtype !== "F32") {
      const from = new Uint16Array(raw.buffer, raw.byteOffset, into.length);
      if ((this.dtype === "F16" ? halfToFloats : bfloatToFloats)(from, into)) return;
    }
    const { shape, begin } = this.#entry;
    checkFinite(into, index, {
      where: `${this.#files.label}: ${this.#file}: tensor ${this.name}`,
      shape,
      byteOf: (element) => begin + element * BYTES[this.dtype],
    });
  }
}
