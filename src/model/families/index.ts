// The table of model families. A new family is a file and a line here.

import { WeightsError } from "../../errors.ts";
import { wrongRule } from "../../tensor/route_rule.ts";
import type { WeightSource } from "../../tensor/types.ts";
import { CheckedTake } from "../checked_take.ts";
import { Fields } from "../config.ts";
import type { Architecture, Family, ModelSources } from "../family.ts";
import { stretchedContext } from "../rope.ts";
import { type RopeOptions, withRope } from "../rope_options.ts";
import { storedSources } from "../stored.ts";
import { refuseUnread } from "../switches.ts";
import { deepseekV2 } from "./deepseek_v2.ts";
import { deepseekV3, glm4MoeLite } from "./deepseek_v3.ts";
import { dots1 } from "./dots1.ts";
import { ernie45Moe } from "./ernie4_5_moe.ts";
import { glm4Moe } from "./glm4_moe.ts";
import { gptOss } from "./gpt_oss.ts";
import { graniteMoe } from "./granitemoe.ts";
import { lfm2Moe } from "./lfm2_moe.ts";
import { minimaxM2 } from "./minimax_m2.ts";
import { mixtral } from "./mixtral.ts";
import { olmoe } from "./olmoe.ts";
import { phimoe } from "./phimoe.ts";
import { qwen2Moe } from "./qwen2_moe.ts";
import { qwen3Moe } from "./qwen3_moe.ts";
import { qwen3Next } from "./qwen3_next.ts";

const FAMILIES: readonly Family[] = [
  mixtral,
  qwen3Moe,
  olmoe,
  minimaxM2,
  glm4Moe,
  dots1,
  qwen2Moe,
  ernie45Moe,
  deepseekV2,
  deepseekV3,
  glm4MoeLite,
  qwen3Next,
  lfm2Moe,
  gptOss,
  graniteMoe,
  phimoe,
];

/** The supported values of model_type. */
export const MODEL_TYPES: readonly string[] = FAMILIES.flatMap(({ types }) => types);

/**
 * Checks config.json, with keys of transformers v4 or v5.
 * @param where names the file in messages, as "folder/config.json"
 * @param rope what is asked for in place of its RoPE
 * @throws WeightsError with the field, its value and what is expected, also for a switch that the
 * family does not have; RequestError for RoPE that
 * the model cannot have
 */
export function readArchitecture(raw: unknown, where: string, rope: RopeOptions = {}): Architecture {
  const fields = new Fields(withRope(withText(raw), rope), where);
  const type = fields.raw("model_type");
  const family = FAMILIES.find(({ types }) => types.some((known) => known === type));
  if (family) {
    const architecture = possible(family.architecture(fields), where);
    refuseUnread(fields, architecture);
    return { ...architecture, context: stretchedContext(fields, architecture.context) };
  }
  return fields.fail(
    "model_type",
    `one of the supported types (${MODEL_TYPES.map((t) => JSON.stringify(t)).join(", ")})`,
  );
}

/** @throws WeightsError for a router that cannot choose as many experts as it should */
function possible(a: Architecture, where: string): Architecture {
  for (const { experts } of a.layers) {
    const wrong = experts && wrongRule(experts.rule, experts.count, experts.perToken);
    if (wrong)
      throw new WeightsError(
        `${where}: expected a router that can choose a token's experts, found ${wrong}; check the fields of experts and groups`,
      );
  }
  return a;
}

/** The fields of a model that also sees, with those of its text model. */
function withText(raw: unknown): unknown {
  const { text_config: text, model_type } = (raw ?? {}) as Readonly<Record<string, unknown>>;
  return typeof text === "object" && text !== null ? { ...(raw as object), ...text, model_type } : raw;
}

/**
 * The sources of a model's tensors, with names and shapes checked against config.json; also of a
 * packed folder. Reads no weights.
 * @throws WeightsError for a missing, an extra or a wrongly shaped tensor
 */
export function bindSources(a: Architecture, source: WeightSource): ModelSources {
  const { model_type: type } = a.config;
  const family = FAMILIES.find(({ types }) => types.includes(type))!;
  const take = new CheckedTake(source, type);
  const sources = a.stored === null ? family.sources(a, take) : storedSources(a, a.stored, take);
  take.refuseExtra(a.tied);
  return sources;
}
