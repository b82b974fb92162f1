// The quantization_config of config.json: which published ways to store weights are read. Each
// other one is refused by its name and by the field that says so.

import { WeightsError } from "../../errors.ts";
import { compressedPacking } from "./compressed.ts";
import { float8Packing } from "./float8.ts";
import { mxfp4Packing } from "./mxfp4.ts";
import type { Packing } from "./packing.ts";
import { wordsPacking } from "./words.ts";

type Json = Readonly<Record<string, unknown>>;

/** What is read, for messages. */
const READ =
  "hotset reads AWQ (gemm), GPTQ and AutoRound of 4 bits, compressed-tensors of 4 bits (pack-quantized) and FP8, FP8 in blocks, gpt-oss's MXFP4, GGUF, and what `hotset quantize` writes";

/** Fields of one object of config.json. */
class Config {
  readonly #json: Json;
  readonly #where: string;

  constructor(value: unknown, where: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new WeightsError(`${where}: expected an object, found ${said(value)}`);
    this.#json = value as Json;
    this.#where = where;
  }

  raw(field: string): unknown {
    return this.#json[field];
  }

  /** The value, if it is one of those; `otherwise` if it is absent or null. */
  one<T>(field: string, allowed: readonly T[], otherwise?: T): T {
    const value = this.#json[field] ?? otherwise;
    const found = allowed.find((known) => known === value);
    return found ?? this.fail(field, allowed.map(said).join(" or "));
  }

  /** Inputs of a group; -1: all. */
  groupSize(field: string): number {
    const value = this.#json[field];
    if (value === -1) return Number.POSITIVE_INFINITY;
    if (typeof value === "number" && Number.isInteger(value) && value >= 8 && value % 8 === 0 && value <= 2 ** 24)
      return value;
    return this.fail(field, "a multiple of 8, or -1 for one group a row");
  }

  object(field: string): Config {
    return new Config(this.#json[field], `${this.#where}: ${field}`);
  }

  /** The objects in an object. */
  objects(field: string): Config[] {
    const value = this.#json[field];
    if (typeof value !== "object" || value === null || Array.isArray(value) || Object.keys(value).length === 0)
      return this.fail(field, "an object of objects");
    return Object.entries(value).map(([key, one]) => new Config(one, `${this.#where}: ${field}.${key}`));
  }

  fail(field: string, expected: string): never {
    throw new WeightsError(`${this.#where}: ${field}: expected ${expected}, found ${said(this.#json[field])}`);
  }
}

/** How each quant_method stores matrices. */
const METHODS: Readonly<Record<string, (c: Config) => Packing>> = {
  awq(c) {
    c.one("bits", [4]);
    // "gemv" orders words in another way, the others are orders of a GPU's kernels
    c.one("version", ["gemm", "GEMM"], "gemm");
    c.one("zero_point", [true], true);
    const size = c.groupSize("group_size");
    return wordsPacking({ label: label("AWQ", size), method: "awq", size, zeroShift: 0, anyOrder: false });
  },

  gptq(c) {
    c.one("bits", [4]);
    const version = c.one("checkpoint_format", ["gptq", "gptq_v2"], "gptq");
    c.one("is_marlin_format", [false], false);
    const size = c.groupSize("group_size");
    const anyOrder = c.one("desc_act", [true, false], false);
    const zeroShift = version === "gptq" ? 1 : 0; // the first version stores zero points less 1
    const name = `${label("GPTQ", size)}${anyOrder ? ", act order" : ""}`;
    return wordsPacking({ label: name, method: "gptq", size, zeroShift, anyOrder });
  },

  // Packed as AutoGPTQ or AutoAWQ do it. Modules with other bits in extra_config are not quantized,
  // or do not fit these.
  "auto-round"(c) {
    c.one("bits", [4]);
    c.one("data_type", ["int"], "int");
    const format = c.one("packing_format", ["auto_round:auto_gptq", "auto_round:auto_awq"]);
    const size = c.groupSize("group_size");
    const method = format === "auto_round:auto_awq" ? "awq" : "gptq";
    const zeroShift = method === "gptq" ? 1 : 0;
    return wordsPacking({ label: label("AutoRound", size), method, size, zeroShift, anyOrder: false });
  },

  "compressed-tensors"(c) {
    const format = c.one("format", ["pack-quantized", "float-quantized", "naive-quantized"]);
    const packings = c.objects("config_groups").map((group) => compressedGroup(group.object("weights"), format));
    const [first] = packings as [Packing, ...Packing[]];
    if (packings.some((other) => other.label !== first.label))
      c.fail("config_groups", "groups of one kind (several kinds are not implemented)");
    return first;
  },

  // Which modules are not converted shows in the tensors.
  mxfp4: () => mxfp4Packing,
  fp8(c) {
    c.one("fmt", ["e4m3"], "e4m3");
    const tile = c.raw("weight_block_size");
    if (!Array.isArray(tile) || tile.length !== 2 || !tile.every((size) => Number.isInteger(size) && size > 0))
      return c.fail("weight_block_size", "two sizes, such as [128, 128]");
    const [rows, cols] = tile as [number, number];
    return float8Packing({
      label: `FP8 (e4m3), a scale a block of ${rows} x ${cols}`,
      scale: ".weight_scale_inv",
      tile: [rows, cols],
    });
  },
};

/** Values of actorder whose groups lie in any order. With others inputs lie as they are. */
const ANY_ORDER: readonly unknown[] = [true, "group", "dynamic"];

function compressedGroup(weights: Config, format: string): Packing {
  if (format === "pack-quantized") {
    weights.one("type", ["int"], "int");
    weights.one("num_bits", [4]);
    const strategy = weights.one("strategy", ["group", "channel"]);
    const size = strategy === "group" ? weights.groupSize("group_size") : Number.POSITIVE_INFINITY;
    const symmetric = weights.one("symmetric", [true, false], true);
    const order = weights.one("actorder", [...ANY_ORDER, false, "weight", "static"], false);
    return compressedPacking({
      label: `${label("compressed-tensors", size)}${symmetric ? ", symmetric" : ""}`,
      size,
      symmetric,
      anyOrder: ANY_ORDER.includes(order),
    });
  }
  weights.one("type", ["float"]);
  weights.one("num_bits", [8]);
  const strategy = weights.one("strategy", ["channel", "tensor", "block"]);
  const whole = Number.POSITIVE_INFINITY;
  const tile: [number, number] = strategy === "channel" ? [1, whole] : [whole, whole];
  if (strategy === "block") {
    const block = weights.raw("block_structure");
    if (!Array.isArray(block) || block.length !== 2 || !block.every((size) => Number.isInteger(size) && size > 0))
      weights.fail("block_structure", "two sizes, such as [128, 128]");
    tile.splice(0, 2, ...(block as number[]));
  }
  return float8Packing({
    label: `compressed-tensors, FP8 (e4m3), a scale a ${strategy}`,
    scale: ".weight_scale",
    tile,
  });
}

function label(method: string, size: number): string {
  return `${method}, 4 bits, ${Number.isFinite(size) ? `groups of ${size}` : "one group a row"}`;
}

/**
 * How a folder's matrices are stored, or null where config.json says nothing of it, or is that of
 * `hotset quantize`.
 * @throws WeightsError for a method or an option that is not read
 */
export function packingOf(config: unknown, where: string): Packing | null {
  const { quantization_config: value, quantization: mlx } = (config ?? {}) as Json;
  if (value == null && mlx == null) return null;
  const method = (value as Json | null)?.quant_method;
  if (method === "hotset") return null;
  if (method === undefined && mlx != null)
    throw new WeightsError(`${where}: quantization: MLX's quantized weights are not read; ${READ}`);
  const c = new Config(value, `${where}: quantization_config`);
  const read = typeof method === "string" && Object.hasOwn(METHODS, method) ? METHODS[method] : undefined;
  if (!read) throw new WeightsError(`${where}: quantization_config: quant_method ${said(method)} is not read; ${READ}`);
  return read(c);
}

/** How a folder's matrices are stored, in words; null where they are not quantized, or not read. */
export function packingText(config: unknown): string | null {
  try {
    return packingOf(config, "")?.label ?? null;
  } catch (error) {
    if (error instanceof WeightsError) return null; // reported where the source is used
    throw error;
  }
}

function said(value: unknown): string {
  if (value === undefined) return "nothing";
  return typeof value === "object" && value !== null
    ? Array.isArray(value)
      ? "a list"
      : "an object"
    : String(JSON.stringify(value)).slice(0, 80);
}
