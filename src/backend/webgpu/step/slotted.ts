// moe() over experts in slots: the device computes those that are there while the host learns which are wanted and has the
// rest added.
//
// One submit holds all that was recorded and copies of the routes and of the experts' rows, a second one the experts in slots:
// the device is at those while the first one's copies travel. What is added later is in submits of its own.

import { RequestError } from "../../../errors.ts";
import type { DeviceMoe } from "../../experts.ts";
import type { Buffer, Device } from "../device/device.ts";
import { upload } from "../device/upload.ts";
import type { Plans } from "../dispatch/plans.ts";
import type { Command, Recorder } from "../dispatch/recorder.ts";
import type { SlottedExperts } from "../weights/slots.ts";
import type { GpuExperts } from "../weights/space.ts";
import type { StepBatch } from "./batch.ts";
import { FEW_ROWS, type Products } from "./products.ts";
import type { GpuTensor, Scratch } from "./scratch.ts";

export interface SlottedHost {
  readonly device: Device;
  readonly recorder: Recorder;
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

export class SlottedMoe {
  readonly #host: SlottedHost;

  constructor(host: SlottedHost) {
    this.#host = host;
  }

  /**
   * The experts' output [n, D] for computed rows x. All commands are bound and compiled first, whichever of them this step
   * needs: nothing waits between the scheduler's word and the submit that it holds for, and a first step makes what all need.
   * @throws what the scheduler throws, the signal's reason, DeviceError
   */
  async run(routed: Routed, experts: SlottedExperts): Promise<GpuTensor> {
    const { device, recorder, scratch, step, maxTokens } = this.#host;
    const { layer, slots, scheduler, hidden } = experts;
    const { x, ids, weights } = routed;
    const signal = step.batch?.signal;
    const n = x.shape[0];
    const K = ids.shape[1];
    const y = scratch.tensor("moe", n, hidden, x.rows);
    if (n === 0) return y;
    const before = recorder.take();
    const inSlots = slots.ofLayer(layer);
    const hits = this.#pass(routed, inSlots, slots.table, layer * experts.count, y, false);
    const transit = this.#pass(routed, slots.inTransit, slots.addedTable, 0, y, true);
    const own = this.#pass(routed, inSlots, slots.addedTable, 0, y, true);
    const rows = scratch.storage("experts of the host", n, y.stride, x.rows);
    const host = this.#sum(y, rows);
    await recorder.compiled([...before, ...hits, ...transit, ...own, ...host]);

    signal?.throwIfAborted();
    const preparing = scheduler.prepare(layer);
    if (preparing) await preparing; // else nothing comes between its answer and the submit
    const slotOf = slots.tableOf(layer);
    const read = (tensor: GpuTensor) => ({ ...tensor, rows: n, width: tensor.shape[1] });
    const room = maxTokens * (2 * K + x.stride) * 4;
    const arriving = recorder.submitAndRead(before, [read(ids), read(weights), read(x)], room);
    arriving.catch(() => {}); // thrown where it is waited for
    recorder.submit(hits);
    const [idWords, weightWords, xWords] = await arriving;
    const chosen = idWords!;
    recorder.weigh(
      hits,
      share(chosen, n, inSlots, (expert) => slotOf[expert]! < slots.slots),
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
      recorder.submit(pass);
      recorder.weigh(
        pass,
        share(chosen, n, kind === "own" ? inSlots : slots.inTransit, (expert) => places.has(expert)),
      );
    };
    const moe: DeviceMoe = {
      layer,
      ids: chosen,
      weights: new Float32Array(weightWords!.buffer),
      x: new Float32Array(xWords!.buffer),
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
        recorder.submit(host);
      },
    };
    try {
      await scheduler.misses(moe);
    } finally {
      open = false;
    }
    return y;
  }

  /** Those of the experts that `table` has, from `first` on: y = or y += their outputs. */
  #pass(
    { x, ids, weights }: Routed,
    experts: GpuExperts,
    table: Buffer,
    first: number,
    y: GpuTensor,
    add: boolean,
  ): readonly Command[] {
    const { recorder, plans, scratch, step, products } = this.#host;
    const [n, K] = ids.shape;
    return recorder.collect(() => {
      const slots = scratch.list("slots", n, K, x.rows, "u32");
      const shares = scratch.list("shares", n, K, x.rows, "f32");
      const buffers = { ids: ids.buffer, weights: weights.buffer, table, slots: slots.buffer, shares: shares.buffer };
      const key = Object.values(buffers).map(({ id }) => id);
      plans.run(`place ${key} ${first}`, n, () => [
        recorder.call("place", { params: { K, first }, buffers: { count: step.counts[x.rows], ...buffers } }),
      ]);
      products.moe(x, slots, shares, experts)(y.buffer, y.stride, add);
    });
  }

  /** y += rows of y's shape. */
  #sum(y: GpuTensor, rows: Buffer): readonly Command[] {
    const { recorder, plans, step } = this.#host;
    return recorder.collect(() =>
      plans.run(`add ${y.buffer.id} ${rows.id}`, y.shape[0], () => [
        recorder.call("add", {
          params: { vectors: y.stride / 4 },
          buffers: { count: step.counts[y.rows], x: y.buffer, y: rows },
        }),
      ]),
    );
  }
}

/** Rows [n, D] to a buffer whose rows take `stride` floats, the rest of them 0. */
function writeRows(device: Device, to: Buffer, rows: Float32Array, D: number, stride: number): void {
  let padded = rows;
  if (stride !== D) {
    padded = new Float32Array((rows.length / D) * stride);
    for (let r = 0; r < rows.length / D; r++) padded.set(rows.subarray(r * D, (r + 1) * D), r * stride);
  }
  upload(device, to, 0, new Uint8Array(padded.buffer, padded.byteOffset, padded.byteLength));
}

/** The part of the weights that a pass would read if tokens went to its experts alike (KernelLine.weights) and does read. */
function share(ids: Uint32Array, n: number, { count }: GpuExperts, has: (expert: number) => boolean): number {
  if (n <= FEW_ROWS) return ids.filter(has).length / ids.length;
  return new Set(ids.filter(has)).size / Math.min(count, ids.length);
}
