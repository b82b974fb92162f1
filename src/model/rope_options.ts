// RoPE that a user asks for in place of config.json's: for contexts beyond the trained one.

import { RequestError } from "../errors.ts";
import { describe } from "./describe.ts";

export interface RopeOptions {
  readonly ropeScaling?: "none" | "linear" | "yarn";
  readonly ropeScale?: number;
  readonly ropeTheta?: number;
  /** Most positions of a session: the scale follows from it where none is given. */
  readonly context?: number;
}

type Json = Readonly<Record<string, unknown>>;

/** Types of scaling that can be replaced; others were trained as they are. */
const REPLACED: readonly unknown[] = ["default", "linear", "dynamic", "yarn"];
/** Fields that every type has. */
const SHARED = ["rope_theta", "partial_rotary_factor"];
/** Fields of YaRN that stay the same with another factor. */
const YARN = ["beta_fast", "beta_slow", "truncate", "mscale", "mscale_all_dim"];

/**
 * config.json with the RoPE that was asked for, and the context that it is good for.
 * @throws RequestError where the model's RoPE cannot be replaced, and for options that say too
 * little
 */
export function withRope(config: unknown, options: RopeOptions): unknown {
  const { ropeScaling, ropeScale, ropeTheta } = options;
  const scaled = ropeScaling !== undefined || ropeScale !== undefined;
  if ((!scaled && ropeTheta === undefined) || !isObject(config)) return config;
  const isNew = isObject(config.rope_parameters) && !says(config.rope_scaling);
  const field = isNew ? "rope_parameters" : "rope_scaling";
  const own = isObject(config[field]) ? config[field] : {};
  if (Object.values(own).some(isObject))
    throw new RequestError(
      `${scaled ? "ropeScaling" : "ropeTheta"}: this model has RoPE by the type of the layer; leave the option away`,
    );
  const original = own.original_max_position_embeddings ?? config.original_max_position_embeddings;
  const trained = original ?? config.max_position_embeddings;
  if (typeof trained !== "number") return config; // the family says so
  const { block, context } = scaled ? scaling(trained, own, options) : { block: own, context: null };
  const theta = ropeTheta === undefined ? {} : { rope_theta: ropeTheta };
  return {
    ...config,
    ...theta,
    [field]: isNew || "rope_theta" in block ? { ...block, ...theta } : block,
    ...(context !== null && { max_position_embeddings: context }),
  };
}

/**
 * The block of config.json that scales RoPE, and the context that it scales it to.
 * @param trained the context without it
 */
function scaling(trained: number, own: Json, { ropeScaling, ropeScale, context }: RopeOptions) {
  const found = own.rope_type ?? own.type ?? "default";
  if (!REPLACED.includes(found))
    throw new RequestError(
      `ropeScaling: this model was trained with RoPE of type ${describe(found)}, which cannot be replaced; leave the option away`,
    );
  const kind = ropeScaling ?? (found === "yarn" ? "yarn" : "linear");
  if (kind !== "yarn" && own.mscale_all_dim)
    throw new RequestError(
      `ropeScaling: this model's attention is scaled with its YaRN, expected yarn, found ${kind}; ropeScale changes its factor`,
    );
  const shared = pick(own, SHARED);
  if (kind === "none") {
    if (ropeScale !== undefined) throw new RequestError("ropeScale: has no meaning with ropeScaling none");
    return { block: { ...shared, rope_type: "default" }, context: trained };
  }
  const scale = ropeScale ?? (context === undefined ? undefined : Math.max(1, context / trained));
  if (scale === undefined)
    throw new RequestError(
      `ropeScaling ${kind}: expected ropeScale, by how much the ${trained} trained positions grow, or a context`,
    );
  const block = { ...shared, rope_type: kind, factor: scale };
  const reached = ropeScale === undefined ? Math.max(trained, context!) : Math.floor(trained * scale);
  if (kind === "linear") return { block, context: reached };
  const yarn = found === "yarn" ? pick(own, YARN) : {};
  return { block: { ...block, ...yarn, original_max_position_embeddings: trained }, context: reached };
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a block of v4 has fields, so that it is what counts (src/model/rope.ts). */
function says(block: unknown): boolean {
  return isObject(block) && Object.keys(block).length > 0;
}

function pick(from: Json, names: readonly string[]): Json {
  return Object.fromEntries(names.filter((name) => name in from).map((name) => [name, from[name]]));
}
