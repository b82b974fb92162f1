// Tensors of GGUF files as matrices of the checkpoint that they were made from.

import { WeightsError } from "../../errors.ts";
import { type Format, type GgmlType, rowPlanes, splitRows } from "../../tensor/format.ts";
import type { Bypass, MatrixSource, WeightSource } from "../../tensor/types.ts";
import type { Files } from "../files.ts";
import { checkFinite } from "../finite.ts";
import type { HubTensor } from "./names.ts";
import { GGML_TYPES, mayOverflow } from "./types.ts";

/** The most bytes to read before they are converted and checked. */
const PIECE = 4 * 2 ** 20;
/** The same of blocks, which nothing is made of: an abort is heeded between two reads. */
const BLOCKS_PIECE = 16 * 2 ** 20;

/**
 * The tensors of a model as one source. It holds no weights: rows are read when they are asked for,
 * matrices can be read concurrently.
 * @param label names the model in messages
 */
export function ggufSource(label: string, files: Files, tensors: ReadonlyMap<string, HubTensor>): WeightSource {
  const find = (name: string): HubTensor => {
    const found = tensors.get(name);
    if (found === undefined) throw new WeightsError(`${label}: tensor ${name} is missing`);
    return found;
  };
  return {
    label,
    has: (name) => tensors.has(name),
    names: () => tensors.keys(),
    shape: (name) => find(name).shape,
    matrix(name, firstRow, rows) {
      const found = find(name);
      const { type, name: own } = found.tensor;
      if (type.format === null || type.blocks === null) {
        const known = [...GGML_TYPES.values()].filter(({ format }) => format !== null).map((known) => known.name);
        throw new WeightsError(
          `${label}: tensor ${own} is of type ${type.name}, which is not computed with (${known.join(", ")} are); take another quantization of the model`,
        );
      }
      return new GgufMatrix(files, name, found, type.format, type.blocks, firstRow, rows);
    },
  };
}

/**
 * A range of rows. The file's own rows are "lines" here: rows of a matrix, or elements of a vector
 * that is a part of another, or whose elements are to be put back.
 */
class GgufMatrix implements MatrixSource {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  readonly format: Format;
  readonly ggml: GgmlType;
  readonly #files: Files;
  readonly #place: HubTensor;
  /** Lines of a row: 1, or all elements of a vector. */
  readonly #lines: number;
  readonly #lineBytes: number;
  readonly #lineLength: number;
  /** This matrix's first line in the tensor of the checkpoint. */
  readonly #first: number;
  /** First lines and counts of blocks whose weights are known to be finite. */
  readonly #checked = new Set<string>();

  constructor(
    files: Files,
    name: string,
    place: HubTensor,
    format: Format,
    ggml: GgmlType,
    firstRow = 0,
    rows?: number,
  ) {
    const { shape, tensor, headRows } = place;
    this.name = name;
    this.format = format;
    this.ggml = ggml;
    this.cols = shape.at(-1) ?? 1;
    const all = shape.slice(0, -1).reduce((product, size) => product * size, 1);
    this.rows = rows ?? all - firstRow;
    if (firstRow < 0 || this.rows < 0 || firstRow + this.rows > all)
      throw new RangeError(`rows ${firstRow} to ${firstRow + this.rows} of ${name}, which has ${all}`);
    const elements = shape.length === 1 && (headRows > 0 || place.firstRow > 0);
    if (elements && tensor.type.elements !== 1)
      throw new WeightsError(
        `${files.label}: ${place.file}: tensor ${tensor.name} is a vector of type ${tensor.type.name}; expected F32, F16 or BF16`,
      );
    this.#files = files;
    this.#place = place;
    this.#lines = elements ? this.cols : 1;
    this.#lineLength = elements ? 1 : this.cols;
    this.#lineBytes = (this.#lineLength / tensor.type.elements) * tensor.type.bytes;
    this.#first = firstRow * this.#lines;
  }

  async readRows(first: number, count: number, into: Float32Array): Promise<void> {
    this.#check(first, count, into.length, this.cols, "floats");
    const length = this.#lineLength;
    const step = Math.max(1, Math.floor(PIECE / Math.max(1, this.#lineBytes)));
    const last = (first + count) * this.#lines;
    const raw = new Uint8Array(Math.min(step, count * this.#lines) * this.#lineBytes);
    const planes = rowPlanes(this.format, 1, length);
    for (let at = first * this.#lines; at < last; at += step) {
      const lines = Math.min(step, last - at);
      await this.#readLines(at, lines, raw);
      const start = (at - first * this.#lines) * length;
      for (let i = 0; i < lines; i++) {
        const own = raw.subarray(i * this.#lineBytes, (i + 1) * this.#lineBytes);
        this.ggml.split(own, planes);
        this.format.unpack(planes, length, into.subarray(start + i * length, start + (i + 1) * length));
      }
      const read = into.subarray(start, start + lines * length);
      const { value } = this.#place;
      if (value) for (const [i, x] of read.entries()) read[i] = value(x);
      this.#checkFinite(at, read);
    }
  }

  /** Checks the weights of lines `first ..`, which are these blocks. */
  #checkBlocks(first: number, blocks: Uint8Array): void {
    const planes = rowPlanes(this.format, 1, this.#lineLength);
    const line = new Float32Array(this.#lineLength);
    for (let at = 0; at < blocks.length; at += this.#lineBytes) {
      this.ggml.split(blocks.subarray(at, at + this.#lineBytes), planes);
      this.format.unpack(planes, this.#lineLength, line);
      this.#checkFinite(first + at / this.#lineBytes, line);
    }
  }

  async readBlocks(
    first: number,
    count: number,
    into: Uint8Array,
    signal?: AbortSignal,
    bypass: Bypass = false,
  ): Promise<void> {
    this.#check(first, count, into.length, this.#lines * this.#lineBytes, "bytes");
    const step = Math.max(1, Math.floor(BLOCKS_PIECE / Math.max(1, this.#lineBytes)));
    const last = (first + count) * this.#lines;
    for (let at = first * this.#lines; at < last; at += step) {
      signal?.throwIfAborted();
      const lines = Math.min(step, last - at);
      const begin = (at - first * this.#lines) * this.#lineBytes;
      const blocks = into.subarray(begin, begin + lines * this.#lineBytes);
      await this.#readLines(at, lines, blocks, bypass);
      // An expert that is not kept is read again and again, in the same pieces.
      const piece = `${at} ${lines}`;
      if (this.#checked.has(piece)) continue;
      if (mayOverflow(this.#place.tensor.type, blocks)) this.#checkBlocks(at, blocks);
      this.#checked.add(piece);
    }
  }

  blocksAt(first: number): number | null {
    const { tensor, firstRow, headRows } = this.#place;
    return headRows > 0 ? null : tensor.begin + (firstRow + this.#first + first * this.#lines) * this.#lineBytes;
  }

  /** For rows that are read with those of another type of the same format. */
  async readPlanes(format: Format, first: number, count: number, planes: readonly Uint8Array[]): Promise<boolean> {
    if (format !== this.format || this.#lines > 1) return false;
    const blocks = new Uint8Array(count * this.#lineBytes);
    await this.readBlocks(first, count, blocks);
    splitRows(format, this.ggml, blocks, count, this.cols, planes);
    return true;
  }

  /** Lines `first ..` of this matrix, in the checkpoint's order, to the start of `into`. */
  async #readLines(first: number, count: number, into: Uint8Array, bypass: Bypass = false): Promise<void> {
    const { file, tensor, firstRow, headRows: n } = this.#place;
    const bytes = this.#lineBytes;
    const read = (line: number, target: Uint8Array): Promise<void> =>
      this.#files.read(file, tensor.begin + (firstRow + line) * bytes, target, bypass);
    if (n === 0) return read(this.#first + first, into.subarray(0, count * bytes));
    // Rows of a head lie as (0, n/2), (1, n/2 + 1), ...: heads are read whole and their rows put
    // in order.
    const from = this.#first + first;
    const start = from - (from % n);
    const end = Math.ceil((from + count) / n) * n;
    const heads = new Uint8Array((end - start) * bytes);
    await read(start, heads);
    for (let line = from; line < from + count; line++) {
      const at = line % n;
      const half = n / 2;
      const stored = line - at + 2 * (at % half) + Math.floor(at / half);
      const own = heads.subarray((stored - start) * bytes, (stored - start + 1) * bytes);
      into.set(own, (line - from) * bytes);
    }
    return undefined;
  }

  #check(first: number, count: number, room: number, size: number, unit: string): void {
    if (first < 0 || count < 0 || first + count > this.rows || room < count * size)
      throw new RangeError(`rows ${first} to ${first + count} of ${this.rows} of ${this.name} into ${room} ${unit}`);
  }

  #checkFinite(line: number, x: Float32Array): void {
    const { file, tensor, firstRow, shape } = this.#place;
    checkFinite(x, (this.#first + line) * this.#lineLength, {
      where: `${this.#files.label}: ${file}: tensor ${this.name} (${tensor.name})`,
      shape,
      // The row's first byte: rows may lie in another order.
      byteOf: (element) => tensor.begin + (firstRow + Math.floor(element / this.#lineLength)) * this.#lineBytes,
    });
  }
}
