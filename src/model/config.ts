// Reads config.json field by field: each is checked as it is read, and kept for display.

import { WeightsError } from "../errors.ts";
import type { Activation } from "../tensor/activation.ts";
import { describe } from "./describe.ts";
import { endIds } from "./end_ids.ts";
import { readStoredFormats, type StoredFormats } from "./stored_formats.ts";

/** The checked fields of config.json, under config.json's own names. */
export interface ModelConfig {
  /** The family's name. */
  readonly model_type: string;
  /** D, numbers of a position between layers. */
  readonly hidden_size: number;
  /** L, layers. */
  readonly num_hidden_layers: number;
  /** K, experts of a token. */
  readonly num_experts_per_tok: number;
  /** V, ids. */
  readonly vocab_size: number;
  /** The most positions of a sequence. */
  readonly max_position_embeddings: number;
  /** Ids that end a text. */
  readonly eos_token_id: readonly number[];
  readonly [field: string]: ConfigValue;
}
export type ConfigValue = string | number | boolean | null | readonly number[];

/** The largest size: beyond every real model, and small enough that products are exact integers. */
export const MAX_SIZE = 2 ** 24;
/** The most layers, heads, and experts of a layer. */
const MAX_COUNT = 4096;

/**
 * Reads fields of config.json. Every reader throws a WeightsError with the field, its value and
 * what is expected.
 */
export class Fields {
  /** Names the file in messages, as "folder/config.json". */
  readonly where: string;
  /** The fields read so far: with defaults, and under the first of two spellings. */
  readonly checked: Record<string, ConfigValue> = {};
  readonly #json: Readonly<Record<string, unknown>>;
  readonly #read = new Set<string>();

  /** @throws WeightsError unless `raw` is an object */
  constructor(raw: unknown, where: string) {
    if (typeof raw !== "object" || raw === null || Array.isArray(raw))
      throw new WeightsError(`${where}: expected a JSON object, found ${describe(raw)}`);
    this.#json = raw as Readonly<Record<string, unknown>>;
    this.where = where;
  }

  /** The unchecked value. */
  raw(field: string): unknown {
    this.#read.add(field);
    return this.#json[field];
  }

  /** Whether anything has asked for the field. */
  wasRead(field: string): boolean {
    return this.#read.has(field);
  }

  /** Whether the field has a value. */
  has(field: string): boolean {
    return this.raw(field) != null;
  }

  fail(field: string, expected: string): never {
    throw new WeightsError(`${this.where}: ${field}: expected ${expected}, found ${describe(this.#json[field])}`);
  }

  keep<T extends ConfigValue>(field: string, value: T): T {
    this.checked[field] = value;
    return value;
  }

  /**
   * A whole number from 1 on. `spelling`: the field's name in other versions;
   * `otherwise`: its default.
   */
  size(field: string, { most = MAX_SIZE, spelling = "", otherwise }: SizeRule = {}): number {
    const name = this.raw(field) === undefined && this.raw(spelling) !== undefined ? spelling : field;
    const value = this.raw(name) ?? otherwise;
    if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= most)
      return this.keep(field, value);
    return this.fail(name, `an integer from 1 to ${most}`);
  }

  /** A whole number from 0 to `most`. */
  indexTo(field: string, most: number, otherwise: number): number {
    const value = this.raw(field) ?? otherwise;
    if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most)
      return this.keep(field, value);
    return this.fail(field, `an integer from 0 to ${most}`);
  }

  /** A number of layers, heads or experts. */
  count(field: string, rule: Omit<SizeRule, "most"> = {}): number {
    return this.size(field, { ...rule, most: MAX_COUNT });
  }

  /** A size, or null if the field is absent. */
  sizeOrNull(field: string): number | null {
    return this.has(field) ? this.size(field) : this.keep(field, null);
  }

  positive(field: string, otherwise?: number): number {
    const value = this.raw(field) ?? otherwise;
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return this.keep(field, value);
    return this.fail(field, "a positive number");
  }

  /** A number that is not negative. */
  amount(field: string, otherwise: number): number {
    const value = this.raw(field) ?? otherwise;
    if (typeof value === "number" && Number.isFinite(value) && value >= 0) return this.keep(field, value);
    return this.fail(field, "a number from 0 on");
  }

  flag(field: string, otherwise: boolean): boolean {
    const value = this.raw(field) ?? otherwise;
    if (typeof value === "boolean") return this.keep(field, value);
    return this.fail(field, "true or false");
  }

  /** A list of layers' numbers, below `depth`; absent or null: none. */
  indices(field: string, depth: number): readonly number[] {
    const value = this.raw(field) ?? [];
    const isIndex = (i: unknown) => typeof i === "number" && Number.isInteger(i) && i >= 0 && i < depth;
    if (Array.isArray(value) && value.every(isIndex)) return this.keep(field, value as readonly number[]);
    return this.fail(field, `a list of layers from 0 to ${depth - 1}`);
  }

  /** Rejects all other values; an absent field passes. */
  only(field: string, allowed: readonly unknown[], said = allowed.map((value) => JSON.stringify(value)).join(" or ")) {
    const value = this.raw(field);
    const same = (other: unknown): boolean => JSON.stringify(other) === JSON.stringify(value);
    if (value !== undefined && !allowed.some(same)) this.fail(field, said);
  }
}

interface SizeRule {
  readonly most?: number;
  readonly spelling?: string;
  readonly otherwise?: number;
}

/** By their names in config.json, which are those of transformers' ACT2FN. */
const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  silu: "silu",
  swish: "silu",
  gelu: "gelu",
  gelu_python: "gelu",
  gelu_new: "gelu_tanh",
  gelu_fast: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  relu2: "relu2",
};

function activationField(c: Fields): Activation {
  const name = c.raw("hidden_act") ?? "silu";
  if (typeof name === "string" && Object.hasOwn(ACTIVATIONS, name)) return ACTIVATIONS[name]!;
  return c.fail("hidden_act", `one of ${Object.keys(ACTIVATIONS).join(", ")}`);
}

interface CommonDefaults {
  readonly tied?: boolean;
  /** What the family's code has, where hidden_act does not choose it. */
  readonly activation?: Activation;
}

/** The fields of every family. Call it first: fields are displayed in the order of reading. */
export function commonFields(c: Fields, { tied = false, activation }: CommonDefaults = {}) {
  c.keep("model_type", String(c.raw("model_type")));
  if (activation) c.only("hidden_act", ["silu"]);
  return {
    activation: activation ?? activationField(c),
    hidden: c.size("hidden_size"),
    depth: c.count("num_hidden_layers"), // L
    vocab: c.size("vocab_size"),
    context: c.size("max_position_embeddings"),
    tied: c.flag("tie_word_embeddings", tied),
  };
}

/** Query heads, key/value heads, and their size: `head_dim`, if it is absent `usual` or D / H. */
export function headFields(c: Fields, hidden: number, usual?: number) {
  const heads = c.count("num_attention_heads");
  const kvHeads = c.count("num_key_value_heads", c.raw("num_key_value_heads") === null ? { otherwise: heads } : {});
  if (heads % kvHeads !== 0) c.fail("num_key_value_heads", `a divisor of num_attention_heads (${heads})`);
  const otherwise = c.raw("head_dim") === undefined ? (usual ?? hidden / heads) : hidden / heads;
  if (!c.has("head_dim") && !Number.isInteger(otherwise))
    c.fail("hidden_size", `a multiple of num_attention_heads (${heads}), or a head_dim field`);
  const headDim = c.size("head_dim", { otherwise });
  if (headDim % 2 !== 0)
    throw new WeightsError(`${c.where}: head_dim: expected an even number (RoPE rotates pairs), found ${headDim}`);
  return { heads, kvHeads, headDim };
}

/** Experts of a layer and of a token; each has two spellings, or those of a token have one. */
export function expertFields(c: Fields, field: string, spelling: string, perTokenSpelling = "") {
  const count = c.count(field, { spelling });
  const perToken = c.count("num_experts_per_tok", { spelling: perTokenSpelling });
  const named = c.has("num_experts_per_tok") ? "num_experts_per_tok" : perTokenSpelling;
  if (perToken > count) c.fail(named, `at most ${field} (${count})`);
  return { count, perToken };
}

/**
 * The ids that end a text, and the format of packed weights. Read last: they change no arithmetic.
 */
export function closingFields(c: Fields): { readonly config: ModelConfig; readonly stored: StoredFormats | null } {
  const bos = c.raw("bos_token_id");
  c.keep("bos_token_id", typeof bos === "number" ? bos : null);
  c.keep("eos_token_id", endIds(c.raw("eos_token_id"), `${c.where}: eos_token_id`));
  const stored = storedFormats(c.raw("quantization_config"), c.where, Number(c.checked.num_hidden_layers));
  c.keep("stored", stored?.text ?? null);
  return { config: c.checked as unknown as ModelConfig, stored };
}

function storedFormats(value: unknown, where: string, depth: number): StoredFormats | null {
  if (value == null) return null;
  const { quant_method } = value as Readonly<Record<string, unknown>>;
  if (quant_method !== "hotset") return null; // src/weights/quantized reads or refuses it
  return readStoredFormats(value, where, depth);
}
