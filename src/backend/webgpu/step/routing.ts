// The router's dispatch, which may leave the rows that experts take.

import { choosesByScores } from "../../../../kernels/route.ts";
import { MemoryError, RequestError } from "../../../errors.ts";
import { type RouteRule, wrongRule } from "../../../tensor/route_rule.ts";
import type { Router, Routes } from "../../ops.ts";
import type { Buffer } from "../device/device.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import type { Plans } from "../dispatch/plans.ts";
import { type MatvecInput, matvecCalls } from "../tuning/matvec.ts";
import type { Tuning } from "../tuning/tuning.ts";
import type { GpuMatrix, GpuVector } from "../weights/space.ts";
import type { GpuTensor, Scratch } from "./scratch.ts";

/** As route.wgsl has room for. */
const MAX_EXPERTS = 1024;

/** Where rows that experts take go: normed, f32 or int8 (quantize.wgsl). */
export interface ExpertRows {
  readonly buffer: Buffer;
  readonly int8: boolean;
}

/** What shared experts are weighed by: [n] in a buffer, from a word on. */
export interface Share {
  readonly weights: GpuTensor;
  readonly at: number;
}

export interface Routed {
  readonly routes: Routes;
  /** Of the gate of shared experts, if one was given. */
  readonly share: Share | null;
  /** Encodes the choice, together with the experts' rows if they are wanted. */
  readonly encode: (rows: ExpertRows | null) => void;
}

export interface RoutingTools {
  readonly encoder: StepEncoder;
  readonly plans: Plans;
  readonly scratch: Scratch;
  readonly tuning: Tuning;
}

/**
 * The experts of rows x.
 * @param like what a product with the gate would read
 * @param shared the gate of shared experts, whose sigmoid is computed along
 * @param of names the place of ids and weights
 */
export function routed(
  { encoder, plans, scratch, tuning }: RoutingTools,
  x: GpuTensor,
  { k, rule, ...router }: Router,
  like: MatvecInput,
  { shared = null, of = "" }: { readonly shared?: GpuMatrix | null; readonly of?: string } = {},
): Routed {
  const gate = router.gate as GpuMatrix;
  const bias = router.bias as GpuVector | null;
  const n = x.shape[0];
  const experts = gate.rows;
  const wrong = wrongRule(rule, experts, k);
  if (wrong !== null) throw new RequestError(`route: ${wrong}`);
  if (experts > MAX_EXPERTS)
    throw new RequestError(`route: ${experts} experts; the WebGPU backend routes among at most ${MAX_EXPERTS}`);
  if (gate.parts.length > 1)
    throw new MemoryError(`${gate.name}: a router of ${gate.bytes} bytes does not fit in one binding of this device`);
  const ids = scratch.list(`${of} ids`, n, k, x.rows, "u32");
  const listed = scratch.list(`${of} weights`, n, shared ? k + 1 : k, x.rows, "f32");
  const weights = shared ? scratch.reuse({ ...listed, shape: [n, k], stride: k }) : listed;
  const room = weights.buffer.size / 4 / listed.stride; // rows
  const input = { ...like, ...tuning.route(gate, experts) };
  const numbers = numbersOf(rule, bias !== null);
  const beside = shared ? shared.parts[0]!.buffers.w : x.buffer;
  const buffers = { bias: bias?.buffer ?? x.buffer, ids: ids.buffer, weights: weights.buffer, share: beside };
  const key = `${x.buffer.id} ${beside.id} ${ids.buffer.id} ${weights.buffer.id} ${input.key} ${k} ${Object.values(numbers)} ${bias?.buffer.id}`;
  const encode = (rows: ExpertRows | null): void => {
    const y = rows?.buffer ?? scratch.storage("no rows for experts", 1, 1, "outputs");
    const ROWS = rows === null ? 0 : rows.int8 ? 2 : 1;
    const values = { K: k, ...numbers, ROWS, EXPERTS: experts, SHARE: Number(shared !== null), share_at: k * room };
    plans.run(`route ${gate.id} ${key} ${y.id} ${ROWS}`, n, () =>
      matvecCalls(encoder, "route", gate, input, values, { ...buffers, y }),
    );
  };
  return { routes: { ids, weights }, share: shared && { weights, at: k * room }, encode };
}

/** A rule as route.wgsl's params and its RULE. */
export function numbersOf(rule: RouteRule, biased: boolean) {
  const none = { normalize: 0, sigmoid: 0, biased: 0, by_score: 0, groups: 1, kept: 1, by_two: 0 };
  if (rule.score === "sparsemixer") return { ...none, added: 0, least: 0, factor: 1, jitter: rule.jitter, RULE: 2 };
  const { score, groups, normalize, added, least, factor } = rule;
  const softmax = score === "softmax";
  // what needs softmax's denominator before or beside the choice
  const wide = groups !== null || (softmax && (biased || added > 0 || least > 0));
  return {
    normalize: Number(normalize),
    sigmoid: Number(!softmax),
    biased: Number(biased),
    by_score: Number(choosesByScores(rule, biased)),
    groups: groups?.count ?? 1,
    kept: groups?.kept ?? 1,
    by_two: Number(groups?.by === "two"),
    ...{ added, least, factor, jitter: 0 },
    RULE: Number(wide),
  };
}
