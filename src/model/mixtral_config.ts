// Mixtral's config.json as a checked value: field names are config.json's own.

import { FORMATS, PACKABLE, type PackableName } from "../../kernels/formats/index.ts";
import { WeightsError } from "../errors.ts";
import { type Format, panelLayout } from "../tensor/format.ts";
import { recordLayout } from "../tensor/record.ts";
import { endIds } from "./end_ids.ts";

/** What Mixtral needs of config.json; every number is checked, nothing is defaulted that changes the arithmetic. */
export interface MixtralConfig {
  readonly model_type: "mixtral";
  readonly hidden_size: number; // D
  readonly intermediate_size: number; // F
  readonly num_hidden_layers: number; // L
  readonly num_attention_heads: number; // H
  readonly num_key_value_heads: number; // Hkv
  readonly head_dim: number; // Dh
  readonly num_local_experts: number; // E
  readonly num_experts_per_tok: number; // K
  readonly vocab_size: number; // V
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
  readonly sliding_window: number | null;
  readonly tie_word_embeddings: boolean;
  readonly bos_token_id: number | null;
  readonly eos_token_id: readonly number[];
  /** What the weights are stored in as kernels take them (quantization_config of `hotset quantize`), or null. */
  readonly stored: PackableName | null;
}

/** Largest value of any size field: past every real model, small enough that products stay exact integers. */
const MAX_SIZE = 2 ** 24;
/** Largest number of layers and of experts a layer. */
const MAX_COUNT = 4096;

/**
 * Checks config.json (transformers v4 and v5 keys alike).
 * @param where what to call the file in messages, as "folder/config.json"
 * @throws WeightsError naming the field, what it holds and what would do
 */
export function parseMixtralConfig(raw: unknown, where: string): MixtralConfig {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) {
    throw new WeightsError(`${where}: expected a JSON object, found ${describe(raw)}`);
  }
  const json = raw as Readonly<Record<string, unknown>>;
  const fail = (field: string, expected: string): never => {
    throw new WeightsError(`${where}: ${field}: expected ${expected}, found ${describe(json[field])}`);
  };
  const integer = (field: string, max = MAX_SIZE): number => {
    const value = json[field];
    if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= max) return value;
    return fail(field, `an integer from 1 to ${max}`);
  };
  const positive = (field: string): number => {
    const value = json[field];
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
    return fail(field, "a positive number");
  };

  if (json.model_type !== "mixtral") fail("model_type", 'one of the supported types ("mixtral")');
  if (json.hidden_act !== undefined && json.hidden_act !== "silu") fail("hidden_act", '"silu"');

  const heads = integer("num_attention_heads", MAX_COUNT);
  const kvHeads = json.num_key_value_heads === null ? heads : integer("num_key_value_heads", MAX_COUNT);
  if (heads % kvHeads !== 0) fail("num_key_value_heads", `a divisor of num_attention_heads (${heads})`);
  const hidden = integer("hidden_size");
  if (json.head_dim == null && hidden % heads !== 0) {
    fail("hidden_size", `a multiple of num_attention_heads (${heads}), or a head_dim field`);
  }
  const headDim = json.head_dim == null ? hidden / heads : integer("head_dim");
  if (headDim % 2 !== 0) {
    throw new WeightsError(`${where}: head_dim: expected an even number (RoPE rotates pairs), found ${headDim}`);
  }
  const expertsField =
    json.num_local_experts === undefined && json.num_experts !== undefined ? "num_experts" : "num_local_experts";
  const experts = integer(expertsField, MAX_COUNT);
  const perToken = integer("num_experts_per_tok", MAX_COUNT);
  if (perToken > experts) fail("num_experts_per_tok", `at most ${expertsField} (${experts})`);
  const window = json.sliding_window ?? null;
  return {
    model_type: "mixtral",
    hidden_size: hidden,
    intermediate_size: integer("intermediate_size"),
    num_hidden_layers: integer("num_hidden_layers", MAX_COUNT),
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: headDim,
    num_local_experts: experts,
    num_experts_per_tok: perToken,
    vocab_size: integer("vocab_size"),
    max_position_embeddings: integer("max_position_embeddings"),
    rms_norm_eps: positive("rms_norm_eps"),
    rope_theta: ropeTheta(json, where),
    sliding_window: window === null ? null : integer("sliding_window"),
    tie_word_embeddings: json.tie_word_embeddings === true,
    bos_token_id: typeof json.bos_token_id === "number" ? json.bos_token_id : null,
    eos_token_id: endIds(json.eos_token_id, `${where}: eos_token_id`),
    stored: storedFormat(json.quantization_config, where),
  };
}

/** The format of quantized folders that is read and written: src/weights/packed_folder.ts. */
export const QUANTIZED_FORMAT = 1;

/** The quantization_config that says that a folder holds panels and records of this format. */
export function quantizationConfig(weights: PackableName): object {
  return { quant_method: "hotset", format: QUANTIZED_FORMAT, weights };
}

function storedFormat(value: unknown, where: string): PackableName | null {
  if (value == null) return null;
  const { quant_method, format, weights } = value as Readonly<Record<string, unknown>>;
  if (quant_method !== "hotset")
    throw new WeightsError(
      `${where}: quantization_config: expected none (weights in F32, F16 or BF16; hotset quantizes them itself) or that of \`hotset quantize\`, found quant_method ${describe(quant_method)}`,
    );
  if (format !== QUANTIZED_FORMAT)
    throw new WeightsError(
      `${where}: quantization_config: this hotset reads format ${QUANTIZED_FORMAT}, found ${describe(format)}; quantize the original again, or use the hotset that wrote it`,
    );
  const name = PACKABLE.find((known) => known === weights);
  if (name !== undefined) return name;
  throw new WeightsError(
    `${where}: quantization_config: weights: expected one of ${PACKABLE.join(", ")}, found ${describe(weights)}`,
  );
}

/** transformers v4 has `rope_theta` (and `rope_scaling`), v5 `rope_parameters: { rope_type, rope_theta }`. */
function ropeTheta(json: Readonly<Record<string, unknown>>, where: string): number {
  for (const field of ["rope_scaling", "rope_parameters"]) {
    const block = json[field];
    if (block == null) continue;
    if (typeof block !== "object" || Array.isArray(block)) {
      throw new WeightsError(`${where}: ${field}: expected an object or null, found ${describe(block)}`);
    }
    const { rope_type, type } = block as Record<string, unknown>;
    const kind = rope_type ?? type ?? "default";
    if (kind !== "default") {
      throw new WeightsError(`${where}: ${field}: rope type ${describe(kind)} is not supported (only "default" is)`);
    }
  }
  const nested = (json.rope_parameters as Record<string, unknown> | null | undefined)?.rope_theta;
  const theta = nested ?? json.rope_theta;
  if (typeof theta === "number" && Number.isFinite(theta) && theta > 0) return theta;
  throw new WeightsError(
    `${where}: rope_theta (or rope_parameters.rope_theta): expected a positive number, found ${describe(theta)}`,
  );
}

/** Parameters of the whole model, and of those one token uses. */
export function mixtralParameters(c: MixtralConfig): { total: number; active: number } {
  const expert = 3 * c.hidden_size * c.intermediate_size;
  const heads = (2 * c.num_attention_heads + 2 * c.num_key_value_heads) * c.head_dim; // q, o, k, v
  const layer = heads * c.hidden_size + c.num_local_experts * c.hidden_size + 2 * c.hidden_size;
  const outer = (c.tie_word_embeddings ? 1 : 2) * c.vocab_size * c.hidden_size + c.hidden_size;
  const total = outer + c.num_hidden_layers * (layer + c.num_local_experts * expert);
  return { total, active: total - c.num_hidden_layers * (c.num_local_experts - c.num_experts_per_tok) * expert };
}

/** Bytes that a model needs in memory. */
export interface Footprint {
  /** All weights; router and norms stay f32. */
  readonly weights: number;
  /** The part of them that is not in experts. */
  readonly dense: number;
  /** One expert. */
  readonly expert: number;
  /** One expert as a record: tensor/record.ts. */
  readonly record: number;
  /** Keys and values of one position over all layers, in f16. */
  readonly kvPerPosition: number;
}

export function mixtralFootprint(c: MixtralConfig, format: Format): Footprint {
  const bytes = (rows: number, cols: number, f = format): number => panelLayout(f, rows, cols).bytes;
  const { hidden_size: D, intermediate_size: F, num_local_experts: E } = c;
  const q = c.num_attention_heads * c.head_dim;
  const kv = c.num_key_value_heads * c.head_dim;
  const expert = bytes(2 * F, D) + bytes(D, F);
  const layer = bytes(q + 2 * kv, D) + bytes(D, q) + bytes(E, D, FORMATS.f32) + 2 * 4 * D;
  const outer = (c.tie_word_embeddings ? 1 : 2) * bytes(c.vocab_size, D) + 4 * D;
  const L = c.num_hidden_layers;
  const dense = outer + L * layer;
  const record = recordLayout({ hidden: D, intermediate: F, up: format, down: format }).bytes;
  return { weights: dense + L * E * expert, dense, expert, record, kvPerPosition: L * 2 * kv * 2 };
}

/** A JSON value for an error message, cut to a length that fits a line. */
function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "an object";
  if (typeof value === "number") return String(value); // JSON has no word for infinity
  return String(JSON.stringify(value)).slice(0, 80);
}
