// Weights that no file holds: `synthetic:NAME?layers=2&seed=1`, for benchmarks at the true shapes.
//
// Every row of every matrix is a run of one pool of 2^20 normal numbers, cut at a multiple of 32
// that follows from seed, tensor and row. So any row is at hand in any order at the price of a
// copy; and since groups of 32 are quantized alone, a pool packed once gives packed rows at the
// same price.

import { RequestError, WeightsError } from "../errors.ts";
import { type Format, GROUP, packRows, rowPlanes, unpackRows } from "../tensor/format.ts";
import type { MatrixSource, WeightSource } from "../tensor/types.ts";
import type { SyntheticConfig, SyntheticModel } from "./synthetic_model.ts";
import { SYNTHETIC_EXAMPLE, SYNTHETIC_MODELS, type SyntheticTensor, syntheticTensor } from "./synthetic_shapes.ts";

const SCHEME = "synthetic:";
const POOL = 2 ** 20;
const CUTS = POOL / GROUP;

/**
 * URL option -> field of config.json, lowest and highest value. Bounds keep every product
 * an exact integer.
 */
const OPTIONS: Readonly<Record<string, readonly [field: string, min: number, max: number]>> = {
  layers: ["num_hidden_layers", 1, 1024],
  hidden_size: ["hidden_size", 1, 2 ** 17],
  intermediate_size: ["intermediate_size", 1, 2 ** 18],
  moe_intermediate_size: ["moe_intermediate_size", 1, 2 ** 18],
  num_attention_heads: ["num_attention_heads", 1, 1024],
  num_key_value_heads: ["num_key_value_heads", 1, 1024],
  head_dim: ["head_dim", 2, 1024],
  num_local_experts: ["num_local_experts", 1, 1024],
  num_experts: ["num_experts", 1, 1024],
  num_experts_per_tok: ["num_experts_per_tok", 1, 1024],
  vocab_size: ["vocab_size", 1, 2 ** 20],
  max_position_embeddings: ["max_position_embeddings", 1, 2 ** 24],
  sliding_window: ["sliding_window", 1, 2 ** 24],
  seed: ["", 0, 2 ** 32 - 1],
};

/** A synthetic model: what config.json would hold, and weights. */
export interface Synthetic {
  readonly config: SyntheticConfig;
  readonly source: WeightSource;
}

/** Whether a path or URL given by a person names a synthetic model. */
export function isSynthetic(path: string): boolean {
  return path.startsWith(SCHEME);
}

/**
 * Parses `synthetic:NAME?option=value&...`. Names: those of SYNTHETIC_MODELS. Options: `layers`,
 * `seed` (default 1) and the size fields of config.json by their own names.
 * @throws RequestError for an unknown name or option, a repeated option or a value out of bounds.
 */
export function parseSynthetic(url: string): Synthetic {
  const [name = "", query = ""] = url.slice(SCHEME.length).split(/\?(.*)/s);
  const model = Object.hasOwn(SYNTHETIC_MODELS, name) ? SYNTHETIC_MODELS[name] : undefined;
  if (!isSynthetic(url) || model === undefined)
    throw new RequestError(
      `${url}: expected ${SCHEME} and one of ${Object.keys(SYNTHETIC_MODELS).join(", ")}, as in ${SYNTHETIC_EXAMPLE}`,
    );
  const config: Record<string, unknown> = { ...model.config };
  const options = Object.keys(OPTIONS).filter((option) => {
    const [field] = OPTIONS[option]!;
    return field === "" || field === "head_dim" || field in config;
  });
  let seed = 1;
  const seen = new Set<string>();
  for (const [option, text] of new URLSearchParams(query)) {
    if (!options.includes(option))
      throw new RequestError(`${url}: unknown option ${option}; there are ${options.join(", ")}`);
    const [field, min, max] = OPTIONS[option]!;
    const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
    if (seen.has(option) || !(value >= min && value <= max))
      throw new RequestError(
        `${url}: ${option}: expected one whole number from ${min} to ${max}, found ${seen.has(option) ? "two" : JSON.stringify(text)}`,
      );
    seen.add(option);
    if (field === "") seed = value;
    else config[field] = value;
  }
  const { layer_types: kinds, num_hidden_layers: depth } = config;
  if (Array.isArray(kinds)) config.layer_types = kinds.slice(0, depth as number);
  return { config, source: syntheticSource(url, { ...model, config }, seed) };
}

/** Makes each tensor when it is asked for, of the shape that is asked for. */
function syntheticSource(label: string, model: SyntheticModel, seed: number): WeightSource {
  const tensors = new Map<string, SyntheticTensor>();
  const pools = new Pools(seed);
  const find = (name: string): SyntheticTensor => {
    const tensor = tensors.get(name);
    if (!tensor) throw new WeightsError(`${label}: tensor ${name} is missing`);
    return tensor;
  };
  return {
    label,
    make: (name, shape) => void (tensors.has(name) || tensors.set(name, syntheticTensor(name, shape, model))),
    has: (name) => tensors.has(name) || model.stored?.names.test(name) === true,
    names: () => tensors.keys(),
    shape: (name) => find(name).shape,
    matrix: (name, firstRow, rows) => new SyntheticMatrix(name, find(name), pools, seed, firstRow, rows),
  };
}

class SyntheticMatrix implements MatrixSource {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  readonly format?: Format;
  readonly #tensor: SyntheticTensor;
  readonly #pools: Pools;
  readonly #firstRow: number;
  readonly #base: number;
  readonly #stride: number;

  constructor(name: string, tensor: SyntheticTensor, pools: Pools, seed: number, firstRow = 0, rows?: number) {
    this.name = name;
    this.cols = tensor.shape.at(-1)!;
    const all = tensor.shape.slice(0, -1).reduce((a, b) => a * b, 1);
    this.rows = rows ?? all - firstRow;
    if (tensor.format) this.format = tensor.format;
    this.#tensor = tensor;
    this.#pools = pools;
    this.#firstRow = firstRow;
    if (firstRow < 0 || this.rows < 0 || firstRow + this.rows > all)
      throw new RangeError(`rows ${firstRow} to ${firstRow + this.rows} of ${name}, which has ${all}`);
    // An odd stride through a power of two of cuts: up to 2^15 rows, no two of a tensor
    // are the same.
    const hash = hashName(name, seed);
    this.#base = hash % CUTS;
    this.#stride = (mix(hash) % CUTS) | 1;
  }

  async readRows(first: number, count: number, into: Float32Array): Promise<void> {
    this.#check(first, count);
    const { std, format } = this.#tensor;
    const pool = format ? this.#pools.unpacked(format, std) : this.#pools.floats(std);
    for (let r = 0; r < count; r++) copyRun(pool, this.#cut(first + r) * GROUP, into, r * this.cols, this.cols);
    if (this.#tensor.mean !== 0) for (let i = 0; i < count * this.cols; i++) into[i]! += this.#tensor.mean;
  }

  async readPlanes(format: Format, first: number, count: number, planes: readonly Uint8Array[]): Promise<boolean> {
    if (this.format ? format !== this.format : format.group !== GROUP || !format.pack) return false;
    // A row that ends within a group is padded with zeros, which the pool's groups are not.
    if (this.cols % format.group !== 0 || this.#tensor.mean !== 0) return false;
    this.#check(first, count);
    const pool = this.#pools.packed(format, this.#tensor.std);
    for (let r = 0; r < count; r++) {
      const cut = this.#cut(first + r);
      for (const [p, { bytes }] of format.planes.entries()) {
        const rowBytes = (this.cols / format.group) * bytes;
        copyRun(pool[p]!, ((cut * GROUP) / format.group) * bytes, planes[p]!, r * rowBytes, rowBytes);
      }
    }
    return true;
  }

  /**
   * Where in the pool, in groups of 32, row `row` of this matrix starts: a multiple of its format's
   * groups.
   */
  #cut(row: number): number {
    const cut = (this.#base + Math.imul(this.#firstRow + row, this.#stride)) & (CUTS - 1);
    return this.format ? cut - (cut % (this.format.group / GROUP)) : cut;
  }

  #check(first: number, count: number): void {
    if (first < 0 || count < 0 || first + count > this.rows)
      throw new RangeError(`rows ${first} to ${first + count} of ${this.rows} of ${this.name}`);
  }
}

/** Copies `size` elements from `start` of a ring. */
function copyRun<T extends Float32Array | Uint8Array>(ring: T, start: number, into: T, at: number, size: number): void {
  for (let done = 0; done < size; ) {
    const from = (start + done) % ring.length;
    const run = Math.min(size - done, ring.length - from);
    into.set(ring.subarray(from, from + run), at + done);
    done += run;
  }
}

/**
 * The pool of one seed, at each standard deviation and format that is asked for (a model
 * has about four).
 */
class Pools {
  readonly #seed: number;
  readonly #scaled = new Map<number, Float32Array>();
  readonly #unpackedPools = new Map<string, Float32Array>();
  readonly #packedPools = new Map<string, readonly Uint8Array[]>();

  constructor(seed: number) {
    this.#seed = seed;
  }

  floats(std: number): Float32Array {
    let pool = this.#scaled.get(std);
    if (pool === undefined) {
      pool = std === 1 ? normals(POOL, this.#seed) : this.floats(1).map((x) => x * std);
      this.#scaled.set(std, pool);
    }
    return pool;
  }

  /** The values of the packed pool, for matrices that lie in the format. */
  unpacked(format: Format, std: number): Float32Array {
    const key = `${format.name} ${std}`;
    let pool = this.#unpackedPools.get(key);
    if (pool === undefined) {
      pool = new Float32Array(POOL);
      unpackRows(format, this.packed(format, std), 1, POOL, pool);
      this.#unpackedPools.set(key, pool);
    }
    return pool;
  }

  /** The pool's planes, of POOL weights. */
  packed(format: Format, std: number): readonly Uint8Array[] {
    const key = `${format.name} ${std}`;
    let pool = this.#packedPools.get(key);
    if (pool === undefined) {
      const made = rowPlanes(format, 1, CUTS * GROUP);
      packRows(format, this.floats(std), 1, CUTS * GROUP, made);
      pool = made;
      this.#packedPools.set(key, pool);
    }
    return pool;
  }
}

/** `count` (even) standard normal numbers: Box-Muller over a counter hashed with the seed. */
function normals(count: number, seed: number): Float32Array {
  const out = new Float32Array(count);
  const uniform = (i: number): number => (mix(mix(seed) + i) + 0.5) / 2 ** 32;
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(uniform(i)));
    const angle = 2 * Math.PI * uniform(i + 1);
    out[i] = radius * Math.cos(angle);
    out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}

/** A name and a seed to 32 bits (FNV-1a, mixed). */
function hashName(name: string, seed: number): number {
  let hash = mix(seed ^ 0x811c9dc5);
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return mix(hash);
}

/**
 * 32 bits to 32 bits, one to one, every bit depending on every bit (the finalizer of MurmurHash3).
 */
function mix(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
