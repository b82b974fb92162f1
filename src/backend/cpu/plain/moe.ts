// The experts of a layer by plain kernels: assignments are sorted by expert, and each runs once.

import { expertDown } from "../../../../kernels/expert_down.ts";
import { expertUp } from "../../../../kernels/expert_up.ts";
import { group } from "../../../../kernels/group.ts";
import { reorder } from "../../../../kernels/reorder.ts";
import { rows } from "../../../../kernels/rows.ts";
import type { Scratch } from "../../../../kernels/scratch.ts";
import type { Tensor } from "../../../tensor/types.ts";
import { ruleOf } from "../../host_rule.ts";
import type { Observer, Routes } from "../../ops.ts";
import type { Yielder } from "../slices.ts";
import type { Arena, CpuTensor } from "./arena.ts";
import { type CpuExperts, type CpuOrder, type CpuVector, floats } from "./values.ts";

/** Sees an expert's rows: Observer.expert() without the layer. */
export type ExpertWatcher =
  Parameters<Observer["expert"]> extends [number, ...infer Rows] ? (...rows: Rows) => void : never;

/** What a step has for all its verbs. */
export interface MoeTools {
  readonly arena: Arena;
  readonly scratch: Scratch;
  readonly yielder: Yielder;
}

/** y [T, D] = the weighted experts of rows x [T, D]. */
export async function moe(
  x: Tensor,
  routes: Routes,
  { count, w13, w2, hidden: D, intermediate: F, rule }: CpuExperts,
  order: CpuOrder | null,
  y: Float32Array,
  { arena, scratch, yielder }: MoeTools,
  seen: ExpertWatcher,
): Promise<void> {
  const ids = (routes.ids as CpuTensor).data as Uint32Array;
  const weights = floats(routes.weights);
  const k = routes.ids.shape[1]!;
  y.fill(0);
  const assignments = ids.length;
  const starts = arena.ids(count + 1);
  const sorted = arena.ids(assignments);
  group(ids, count, starts, sorted);
  const tokens = arena.ids(assignments);
  const shares = arena.floats(assignments);
  for (let i = 0; i < assignments; i++) {
    tokens[i] = Math.floor(sorted[i]! / k);
    shares[i] = weights[sorted[i]!]!;
  }
  for (let expert = 0; expert < count; expert++) {
    const [from, to] = [starts[expert]!, starts[expert + 1]!];
    const n = to - from;
    if (n === 0) continue;
    await yielder.yield();
    const own = tokens.subarray(from, to);
    const gathered = scratch.floats("gathered", n * D);
    const h = scratch.floats("hidden", n * F);
    rows(floats(x), own, D, gathered, 0, n);
    let inputs = gathered;
    if (order) {
      inputs = scratch.floats("reordered", n * D);
      reorder(gathered, null, order.lists.subarray(expert * D, (expert + 1) * D), inputs, 0, n);
    }
    const { gating, down } = ruleOf(rule, expert, F, D, (of) => (of as CpuVector).data);
    expertUp(inputs, n, w13[expert]!, h, 0, F, scratch, gating);
    seen(expert, gathered.subarray(0, n * D), h.subarray(0, n * F), shares.subarray(from, to));
    expertDown(h, own, shares.subarray(from, to), w2[expert]!, y, 0, D, scratch, down);
  }
}
