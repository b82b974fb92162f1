// RoPE's frequencies: the one place where they are computed.

import type { Frequencies, Rope, RopeLengths } from "../backend/rope.ts";
import { WeightsError } from "../errors.ts";
import { Fields, MAX_SIZE } from "./config.ts";
import { describe } from "./describe.ts";
import type { Architecture } from "./family.ts";

/**
 * Scales RoPE to contexts beyond the training. `context`: the model's positions now; `dimensions`:
 * values of a head that turn.
 */
type Scaling = (c: Fields, plain: Rope, theta: number, context: number, dimensions: number) => Rope;

/** The field of the trained context, where the model's is longer. */
const TRAINED = "original_max_position_embeddings";
/** By their names in config.json. */
const SCALINGS: Readonly<Record<string, Scaling>> = { linear, dynamic, llama3, yarn, longrope, factors };

/**
 * RoPE over the first `dimensions` (rd) of a head, from config.json: transformers v4 has
 * `rope_theta` and `rope_scaling`, v5 `rope_parameters: { rope_type, rope_theta, ... }`.
 * `otherwise`: the default theta. Call it after commonFields().
 * @throws WeightsError for a type of scaling that is not implemented
 */
export function readRope(c: Fields, dimensions: number, otherwise?: number): Rope {
  const { field, kind, block } = ropeBlock(c);
  checkPart(c, dimensions);
  const theta = block.rope_theta ?? c.raw("rope_theta") ?? otherwise;
  if (!(typeof theta === "number" && Number.isFinite(theta) && theta > 0))
    throw new WeightsError(
      `${c.where}: rope_theta (or rope_parameters.rope_theta): expected a positive number, found ${describe(theta)}`,
    );
  const plain = defaultRope(c.keep("rope_theta", theta), dimensions);
  if (kind === "default") return plain;
  if (typeof kind !== "string" || !Object.hasOwn(SCALINGS, kind)) {
    // config.json has no factors by themselves: they are how GGUF files have others.
    const names = Object.keys(SCALINGS).filter((name) => SCALINGS[name] !== factors);
    const known = ["default", ...names].map((name) => JSON.stringify(name)).join(", ");
    throw new WeightsError(`${c.where}: ${field}: rope type ${describe(kind)} is not supported (only ${known} are)`);
  }
  // Some files have this one beside the block.
  const outside = c.has(TRAINED) ? { [TRAINED]: c.raw(TRAINED) } : {};
  const fields = new Fields({ ...outside, ...block }, `${c.where}: ${field}`);
  const scaled = SCALINGS[kind]!(fields, plain, theta, c.checked.max_position_embeddings as number, dimensions);
  c.keep("rope_scaling", [kind, ...Object.entries(fields.checked).map((entry) => entry.join(" "))].join(", "));
  return { ...scaled, ...rounded(scaled) };
}

/** RoPE's fields that are together in config.json: where, and the type of scaling. */
interface RopeBlock {
  readonly field: "rope_scaling" | "rope_parameters";
  readonly kind: unknown;
  readonly block: Readonly<Record<string, unknown>>;
}

/**
 * v4's `rope_scaling` if it says something, otherwise v5's `rope_parameters`: as in transformers,
 * whose release 5 writes fields of v4 with their defaults beside.
 */
export function ropeBlock(c: Fields): RopeBlock {
  const says = ({ block }: RopeBlock): boolean => Object.keys(block).length > 0;
  const [scaling, parameters] = (["rope_scaling", "rope_parameters"] as const).map((field): RopeBlock => {
    const block = c.raw(field) ?? {};
    if (typeof block !== "object" || Array.isArray(block))
      throw new WeightsError(`${c.where}: ${field}: expected an object or null, found ${describe(block)}`);
    const nested = Object.entries(block).find(
      ([, value]) => typeof value === "object" && value !== null && !Array.isArray(value),
    );
    if (nested)
      throw new WeightsError(
        `${c.where}: ${field}: ${nested[0]}: RoPE by the type of the layer is not supported, expected one set of fields`,
      );
    const { rope_type, type } = block as Record<string, unknown>;
    return { field, kind: rope_type ?? type ?? "default", block: block as RopeBlock["block"] };
  }) as [RopeBlock, RopeBlock];
  return says(scaling) ? scaling : parameters;
}

function rounded({ inverse, factor }: Frequencies): Frequencies {
  return { inverse: inverse.map(Math.fround), factor: Math.fround(factor) };
}

/**
 * The most positions of a sequence, where max_position_embeddings are `context`: dynamic scaling
 * begins there, and is meant for its factor times as many.
 */
export function stretchedContext(c: Fields, context: number): number {
  const { kind, block } = ropeBlock(c);
  const { factor } = block;
  if (kind !== "dynamic" || typeof factor !== "number" || factor <= 1) return context;
  return Math.floor(Math.min(context * factor, MAX_SIZE));
}

/** The share of a head that rotates, where config.json says one: among RoPE's fields, or beside. */
function partOf(c: Fields): { readonly field: string; readonly part: unknown } {
  const { field, block } = ropeBlock(c);
  const own = "partial_rotary_factor";
  return block[own] == null ? { field: own, part: c.raw(own) } : { field: `${field}: ${own}`, part: block[own] };
}

/**
 * How many values of a head turn; of an odd number the last one in a pair with the next value, as
 * in transformers. @param otherwise their share where config.json says none
 */
export function turnedPart(c: Fields, headDim: number, otherwise: number): number {
  const { field, part: said } = partOf(c);
  const part = said ?? otherwise;
  if (!(typeof part === "number" && part > 0 && part <= 1))
    throw new WeightsError(`${c.where}: ${field}: expected a number above 0, and 1 at most, found ${describe(part)}`);
  const turned = Math.floor(headDim * part);
  if (turned > 0) return turned;
  throw new WeightsError(`${c.where}: ${field}: expected one of a head's ${headDim} values at least, found ${part}`);
}

/**
 * The share of a head that rotates, where config.json says one, is the family's.
 * @throws WeightsError where it is another
 */
function checkPart(c: Fields, dimensions: number): void {
  const { field, part } = partOf(c);
  const headDim = c.checked.head_dim as number;
  if (part == null || (typeof part === "number" && Math.floor(part * headDim) === dimensions)) return;
  throw new WeightsError(
    `${c.where}: ${field}: expected ${dimensions / headDim} (${dimensions} of ${headDim} values of a head rotate), found ${describe(part)}`,
  );
}

/** Pair i rotates by theta^(-2i/rd) a position, in f32 step by step as in transformers. */
export function defaultRope(theta: number, dimensions: number): Rope {
  const inverse = Float64Array.from({ length: Math.ceil(dimensions / 2) }, (_, i) =>
    Math.fround(1 / Math.fround(theta ** Math.fround((2 * i) / dimensions))),
  );
  return { inverse, factor: 1 };
}

/** All frequencies divided by the factor. */
function linear(c: Fields, { inverse }: Rope): Rope {
  const factor = c.positive("factor");
  return { inverse: inverse.map((value) => value / factor), factor: 1 };
}

/**
 * Texts of up to `context` tokens turn as they are; for one of n, theta grows so that the slowest
 * pair turns as far as in a text of `context`, were the factor 1.
 */
function dynamic(c: Fields, plain: Rope, theta: number, context: number, rd: number): Rope {
  const factor = c.positive("factor");
  let last = { n: 0, frequencies: plain as Frequencies };
  return {
    ...plain,
    lengths: {
      at(n) {
        if (n <= context) return plain;
        const growth = (factor * n) / context - (factor - 1);
        if (n !== last.n) last = { n, frequencies: defaultRope(theta * growth ** (rd / (rd - 2)), rd) };
        return last.frequencies;
      },
      key: (anchor) => (anchor <= context ? 0 : anchor),
      until: () => Number.POSITIVE_INFINITY,
    },
  };
}

/** Each frequency divided by a number of its own, as GGUF files have them for llama3 scaling. */
function factors(c: Fields, plain: Rope): Rope {
  return { inverse: divided(c, "factors", plain), factor: 1 };
}

/**
 * LongRoPE: each frequency divided by a number of its own, and by others in a text that is longer
 * than those of the training: such a text is read again when it comes to that. `short_mscale` and
 * `long_mscale` are Phi-3.5-MoE's.
 */
function longrope(c: Fields, plain: Rope, _: number, context: number): Rope {
  const trained = c.size(TRAINED, { otherwise: context });
  const factor = c.positive("factor", context / trained);
  const usual = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(trained));
  const growth = c.has("attention_factor") ? c.positive("attention_factor") : usual;
  const of = (which: "short" | "long") =>
    rounded({ inverse: divided(c, `${which}_factor`, plain), factor: c.positive(`${which}_mscale`, growth) });
  const [short, long] = [of("short"), of("long")];
  return {
    ...short,
    lengths: {
      at: (n) => (n > trained ? long : short),
      key: (anchor) => (anchor > trained ? 1 : 0),
      until: (anchor) => (anchor > trained ? Number.POSITIVE_INFINITY : trained),
    },
  };
}

/** Frequencies divided by those of a list. */
function divided(c: Fields, field: string, { inverse }: Rope): Float64Array {
  const list = c.raw(field);
  const good = (value: unknown): value is number => typeof value === "number" && value > 0 && Number.isFinite(value);
  if (!Array.isArray(list) || list.length !== inverse.length || !list.every(good))
    return c.fail(field, `${inverse.length} positive numbers`);
  return inverse.map((value, i) => value / (list[i] as number));
}

/** Scales long wavelengths, keeps short ones, and blends those between. */
function llama3(c: Fields, { inverse }: Rope, _: number, context: number): Rope {
  const factor = c.positive("factor");
  const low = c.positive("low_freq_factor");
  const high = c.positive("high_freq_factor");
  const trained = c.size("original_max_position_embeddings", { otherwise: context });
  const scaled = inverse.map((value) => {
    const turns = (trained * value) / (2 * Math.PI); // rotations within the training context
    // share of the unscaled frequency
    const share = Math.min(Math.max((turns - low) / (high - low), 0), 1);
    return (1 - share) * (value / factor) + share * value;
  });
  return { inverse: scaled, factor: 1 };
}

/** YaRN: scales slow pairs, keeps fast ones, with a ramp between; q and k grow a little. */
function yarn(c: Fields, { inverse }: Rope, theta: number, context: number, rd: number): Rope {
  if (rd % 2 !== 0)
    throw new WeightsError(`${c.where}: rope_type: yarn turns an even number of a head's values, found ${rd}`);
  const trained = c.size("original_max_position_embeddings", { otherwise: context });
  const factor = c.positive("factor", context / trained);
  // 0 means "none" too
  const given = (field: string): number | null => (c.raw(field) ? c.positive(field) : null);
  /** The pair that rotates this many times within the training context. */
  const pairOf = (turns: number): number => (rd * Math.log(trained / (2 * Math.PI * turns))) / (2 * Math.log(theta));
  const [first, last] = [pairOf(given("beta_fast") ?? 32), pairOf(given("beta_slow") ?? 1)];
  const whole = c.flag("truncate", true);
  const low = Math.max(whole ? Math.floor(first) : first, 0);
  const high = Math.min(whole ? Math.ceil(last) : last, rd - 1);
  const width = low === high ? 0.001 : high - low;
  const scaled = inverse.map((value, i) => {
    const ramp = Math.min(Math.max((i - low) / width, 0), 1);
    return (value / factor) * ramp + value * (1 - ramp);
  });
  const growth = (scale: number): number => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1);
  const [mscale, all] = [given("mscale"), given("mscale_all_dim")];
  const usual = mscale !== null && all !== null ? growth(mscale) / growth(all) : growth(1);
  return { inverse: scaled, factor: given("attention_factor") ?? usual };
}

/** How keys depend on the length of the text, if they do; the same in all layers. */
export function ropeLengths({ layers }: Architecture): RopeLengths | null {
  const all = new Set(layers.flatMap(({ attention }) => attention?.rope.lengths ?? []));
  if (all.size > 1) throw new Error("layers whose RoPE depends on the text's length differently are not implemented");
  return [...all][0] ?? null;
}
