// The formats of a packed folder's matrices: what config.json's quantization_config says of them.
//
//   version 1   {"quant_method": "hotset", "format": 1, "weights": "q4"}: all in one
//   version 2   "weights" in words, and "formats": {"embed": "q4_k", "head": "q6_k", "layers":
//               [{"q": "q4_k", "k": "q8", "v": "q6_k", "o": "q4_k", "up": "q4_k", "down": "q6_k"},
//               ...]}

import { FORMATS, formatOf, PACKABLE } from "../../kernels/formats/index.ts";
import { WeightsError } from "../errors.ts";
import type { Format } from "../tensor/format.ts";
import { describe } from "./describe.ts";

/**
 * The formats of a layer's matrices (of a recurrence's first one: q, k and v); of `up`: w1 and w3
 * of its experts, of `down`: w2; ffnUp and ffnDown: those of a dense layer or of shared experts;
 * `qb` and `absorb`: those of latent attention. What a layer does not have is absent.
 */
export type StoredLayer = Readonly<Record<(typeof ALWAYS)[number], Format>> &
  Readonly<Partial<Record<(typeof PARTS)[number], Format>>>;

export interface StoredFormats {
  /** In words, for users: "q4", or "q4_k (with q6_k, q8)". */
  readonly text: string;
  readonly embed: Format;
  /** Also named where the embedding is the head. */
  readonly head: Format;
  layer(layer: number): StoredLayer;
}

const ALWAYS = ["q", "k", "v", "o"] as const;
const PARTS = ["outGate", "up", "down", "ffnUp", "ffnDown", "qb", "absorb"] as const;
const LAYER = [...ALWAYS, ...PARTS] as const;
const VERSIONS = [1, 2] as const;

/** The quantization_config of a packed folder: the first version that can say it. */
export function quantizationConfig(stored: StoredFormats, depth: number) {
  const { text, embed, head } = stored;
  const layers = Array.from({ length: depth }, (_, i) => stored.layer(i));
  const all = new Set([embed, head, ...layers.flatMap((layer) => LAYER.flatMap((role) => layer[role] ?? []))]);
  const written = { quant_method: "hotset", format: 1, weights: text };
  if (all.size === 1 && "pack" in embed) return written;
  const own = (layer: StoredLayer) => LAYER.flatMap((role) => (layer[role] ? [[role, layer[role].name]] : []));
  const names = layers.map((layer) => Object.fromEntries(own(layer)));
  return { ...written, format: 2, formats: { embed: embed.name, head: head.name, layers: names } };
}

/** @param depth layers of the model @throws WeightsError for a version or formats not read here */
export function readStoredFormats(value: unknown, where: string, depth: number): StoredFormats {
  const { format: version, weights, formats } = value as Readonly<Record<string, unknown>>;
  const at = `${where}: quantization_config`;
  if (!VERSIONS.some((known) => known === version))
    throw new WeightsError(
      `${at}: this hotset reads format ${VERSIONS.join(" and ")}, found ${describe(version)}; quantize the original again, or use the hotset that wrote it`,
    );
  if (version === 1) {
    const name = PACKABLE.find((known) => known === weights);
    if (name === undefined)
      throw new WeightsError(`${at}: weights: expected one of ${PACKABLE.join(", ")}, found ${describe(weights)}`);
    const one = FORMATS[name];
    const parts = { outGate: one, up: one, down: one, ffnUp: one, ffnDown: one, qb: one, absorb: one };
    const layer = { q: one, k: one, v: one, o: one, ...parts };
    return { text: name, embed: one, head: one, layer: () => layer };
  }
  const { embed, head, layers } = fieldsOf(formats, `${at}: formats`);
  if (!Array.isArray(layers) || layers.length !== depth)
    throw new WeightsError(
      `${at}: formats: layers: expected a list of ${depth}, as num_hidden_layers says, found ${Array.isArray(layers) ? layers.length : describe(layers)}`,
    );
  const read = layers.map((layer, i) => {
    const place = `${at}: formats: layers[${i}]`;
    const fields = fieldsOf(layer, place);
    const has = (role: (typeof LAYER)[number]) => ALWAYS.some((own) => own === role) || fields[role] !== undefined;
    const roles = LAYER.filter(has).map((role) => [role, named(fields[role], `${place}: ${role}`)]);
    return Object.fromEntries(roles) as StoredLayer;
  });
  return {
    text: typeof weights === "string" ? weights.slice(0, 200) : "mixed",
    embed: named(embed, `${at}: formats: embed`),
    head: named(head, `${at}: formats: head`),
    layer: (i) => read[i]!,
  };
}

function fieldsOf(value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new WeightsError(`${where}: expected an object, found ${describe(value)}`);
}

function named(value: unknown, where: string): Format {
  if (typeof value === "string" && Object.hasOwn(FORMATS, value)) return formatOf(value);
  throw new WeightsError(`${where}: expected one of ${Object.keys(FORMATS).join(", ")}, found ${describe(value)}`);
}
