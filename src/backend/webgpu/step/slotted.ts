// moe() over experts in slots: the device computes those that are resident while the host learns
// which are wanted and adds the rest.
//
// One submit holds all that was encoded and copies of the routes and of the experts' rows, a second
// one the experts in slots: the device is at those while the first one's copies travel. What is
// added later is in submits of its own.
//
// Where experts are multiplied by the rows of each (products.ts), every pass puts what its experts
// make beside what the others do, and a token's choices are added up behind the last pass, in their
// order: so the sums do not depend on which experts were in slots. Row by row each pass adds its
// own to what is there.

import { RequestError } from "../../../errors.ts";
import type { DeviceMoe } from "../../experts.ts";
import { ruleOf } from "../../host_rule.ts";
import type { Vector } from "../../ops.ts";
import type { Buffer, Device } from "../device/device.ts";
import { upload } from "../device/upload.ts";
import type { Command } from "../dispatch/commands.ts";
import { expertPasses } from "../dispatch/cost.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import type { Plans } from "../dispatch/plans.ts";
import type { SlottedExperts } from "../weights/slots.ts";
import type { GpuExperts, GpuOrder, GpuVector } from "../weights/space.ts";
import type { StepBatch } from "./batch.ts";
import { addRows } from "./lookup.ts";
import type { ExpertInputs, Products } from "./products.ts";
import type { GpuTensor, Scratch } from "./scratch.ts";

export interface SlottedContext {
  readonly device: Device;
  readonly encoder: StepEncoder;
  readonly plans: Plans;
  readonly scratch: Scratch;
  readonly step: StepBatch;
  readonly products: Products;
  /** Largest batch (T). */
  readonly maxTokens: number;
}

/** Where tokens go: rows x [n, D], ids and weights [n, K]. */
interface Routed {
  readonly x: GpuTensor;
  readonly ids: GpuTensor;
  readonly weights: GpuTensor;
}

/** The slots [n, K] of a pass's experts, and the weights [n, K] of those that have had a pass. */
interface Placed {
  readonly slots: GpuTensor;
  readonly shares: GpuTensor;
}

/** What a layer's passes have in common. */
interface Layer extends Placed {
  readonly routed: Routed;
  readonly inputs: ExpertInputs;
  readonly y: GpuTensor;
  /** Whether the choices are added up behind the last pass. */
  readonly later: boolean;
  /** E. */
  readonly count: number;
}

interface Pass {
  readonly commands: readonly Command[];
  /** Adds the choices up, where that is left. */
  readonly sum: () => void;
}

export class SlottedMoe {
  readonly #context: SlottedContext;

  constructor(context: SlottedContext) {
    this.#context = context;
  }

  /**
   * The experts' output [n, D] for computed rows x. All commands that a step may need are bound and
   * compiled first: nothing waits between prepare() and the submit, and a first step makes
   * everything that later ones need.
   * @throws what the scheduler throws, the signal's reason, DeviceError
   */
  async run(routed: Routed, experts: SlottedExperts, order: GpuOrder | null): Promise<GpuTensor> {
    const { device, encoder, scratch, step, maxTokens, products } = this.#context;
    const { layer, slots, scheduler, hidden, intermediate, rule } = experts;
    const { x, ids, weights } = routed;
    const signal = step.batch?.signal;
    const n = x.shape[0];
    const K = ids.shape[1];
    const y = scratch.tensor("moe", n, hidden, x.rows);
    if (n === 0) return y;
    const inputs = products.expertRows(x, ids, order);
    const before = encoder.take();
    const inSlots = { ...slots.ofLayer(layer), rule };
    const inTransit = { ...slots.inTransit, rule };
    const { count } = experts;
    const of: Layer = {
      slots: scratch.list("slots", n, K, x.rows, "u32"),
      shares: scratch.list("shares", n, K, x.rows, "f32"),
      ...{ routed, inputs, y, count, later: products.expertForm(n, K, count) !== "vec" },
    };
    const { commands: hits, sum } = this.#pass(of, inSlots, slots.table, layer * count, false);
    const { commands: transit } = this.#pass(of, inTransit, slots.addedTable, 0, true);
    const { commands: own } = this.#pass(of, inSlots, slots.addedTable, 0, true);
    const rows = scratch.storage("experts of the host", n, y.stride, x.rows);
    const added = encoder.collect(sum);
    const host = encoder.collect(() => addRows(this.#context, y, rows));
    await encoder.compiled([...before, ...hits, ...transit, ...own, ...added, ...host]);

    signal?.throwIfAborted();
    const preparing = scheduler.prepare(layer);
    if (preparing) await preparing; // without it, nothing runs between prepare() and the submit
    const slotOf = slots.tableOf(layer);
    const read = (tensor: GpuTensor) => ({ ...tensor, rows: n, width: tensor.shape[1] });
    const room = maxTokens * (2 * K + x.stride) * 4;
    const arriving = encoder.submitAndRead(before, [read(ids), read(weights), read(x)], room);
    arriving.catch(() => {}); // thrown where it is waited for
    encoder.submit(hits);
    const [idWords, weightWords, xWords] = await arriving;
    const chosen = idWords!;
    encoder.weigh(
      hits,
      this.#share(chosen, of, inSlots, (expert) => slotOf[expert]! < slots.slots),
    );
    signal?.throwIfAborted();

    let open = true;
    let hosted = false;
    const check = (): void => {
      device.check();
      if (!open) throw new RequestError(`moe: layer ${layer} is over, nothing can be added to it`);
    };
    const add = (kind: "transit" | "own", pass: readonly Command[], places: ReadonlyMap<number, number>): void => {
      check();
      slots.setAdded(places, kind);
      encoder.submit(pass);
      encoder.weigh(
        pass,
        this.#share(chosen, of, kind === "own" ? inSlots : slots.inTransit, (expert) => places.has(expert)),
      );
    };
    const moe: DeviceMoe = {
      layer,
      ids: chosen,
      weights: new Float32Array(weightWords!.buffer),
      x: new Float32Array(xWords!.buffer),
      orderOf: (expert) => order?.lists.subarray(expert * hidden, (expert + 1) * hidden),
      ruleOf: (expert) => (rule ? ruleOf(rule, expert, intermediate, hidden, valuesOf) : undefined),
      signal,
      addTransit: (places) => add("transit", transit, places),
      addOwn: (places) => add("own", own, places),
      addHost(sums) {
        check();
        if (hosted || sums.length !== n * hidden)
          throw new RequestError(
            `moe: the host's rows of layer ${layer}: ${sums.length} numbers for [${n}, ${hidden}]${hosted ? ", the second time" : ""}`,
          );
        hosted = true;
        writeRows(device, rows, sums, hidden, y.stride);
      },
    };
    try {
      await scheduler.misses(moe);
    } finally {
      open = false;
    }
    for (const { call, n } of hosted ? [...added, ...host] : added) encoder.dispatch(call, n);
    return y;
  }

  /** Of experts that `table` has, from `first` on; `add`: beside those of earlier passes. */
  #pass(of: Layer, experts: GpuExperts, table: Buffer, first: number, add: boolean): Pass {
    const { encoder, plans, step, products } = this.#context;
    const { slots, shares, routed, inputs, y, later, count: among } = of;
    const { x, ids, weights } = routed;
    const [n, K] = ids.shape;
    const ADD = Number(add && later);
    let sum = (): void => {};
    const commands = encoder.collect(() => {
      const buffers = { ids: ids.buffer, weights: weights.buffer, table, slots: slots.buffer, shares: shares.buffer };
      const key = Object.values(buffers).map(({ id }) => id);
      plans.run(`place ${key} ${first} ${ADD}`, n, () => [
        encoder.call("place", {
          params: { K, first },
          overrides: { ADD },
          buffers: { count: step.counts[x.rows], ...buffers },
        }),
      ]);
      const finish = products.moe(inputs, slots, shares, experts, { chosen: ids, among });
      if (later) sum = () => finish(y.buffer, y.stride, false);
      else finish(y.buffer, y.stride, add);
    });
    return { commands, sum };
  }

  /**
   * The part of the weights that a pass over `experts` would read if tokens went to them alike
   * (KernelLine.weights) and does read.
   */
  #share(ids: Uint32Array, of: Layer, experts: GpuExperts, has: (expert: number) => boolean): number {
    const [n, K] = of.slots.shape;
    const tokens = this.#context.products.tokensAtOnce(n, K, of.count, experts);
    const rows = new Map<number, number>();
    for (const expert of ids) if (has(expert)) rows.set(expert, (rows.get(expert) ?? 0) + 1);
    let read = 0;
    for (const count of rows.values()) read += Math.ceil(count / tokens);
    if (tokens === 1) return read / ids.length;
    return read / (experts.count * expertPasses(ids.length, { E: experts.count, tokens }));
  }
}

const valuesOf = (of: Vector): Float32Array => (of as GpuVector).values;

/** Rows [n, D] to a buffer whose rows take `stride` floats, the rest of them 0. */
function writeRows(device: Device, to: Buffer, rows: Float32Array, D: number, stride: number): void {
  let padded = rows;
  if (stride !== D) {
    padded = new Float32Array((rows.length / D) * stride);
    for (let r = 0; r < rows.length / D; r++) padded.set(rows.subarray(r * D, (r + 1) * D), r * stride);
  }
  upload(device, to, 0, new Uint8Array(padded.buffer, padded.byteOffset, padded.byteLength));
}
