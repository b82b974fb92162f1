// The verbs of layers with states on WebGPU: each a dispatch or two.

import { DeviceError } from "../../../errors.ts";
import type { Tensor, Vector } from "../../../tensor/types.ts";
import type { Batch } from "../../ops.ts";
import type { Conv, Delta, RecurrentVerbs, StateStore } from "../../recurrent.ts";
import { runsOf } from "../../state_runs.ts";
import type { Buffer, Device } from "../device/device.ts";
import type { GpuVector } from "../weights/space.ts";
import type { LookupTools } from "./lookup.ts";
import type { GpuTensor } from "./scratch.ts";
import type { GpuStates } from "./states.ts";

/** Rows of a head's state: so many fit the registers of a workgroup (kernels/delta_rule.wgsl). */
const MAX_KEY_DIM = 192;

interface RecurrentTools extends LookupTools {
  readonly device: Device;
  readonly maxTokens: number;
  /** A verb's argument, computed, when it is for all tokens. */
  readonly given: (x: Tensor) => GpuTensor;
  readonly batch: () => Batch;
}

const bufferOf = (vector: Vector): Buffer => (vector as GpuVector).buffer;

export class RecurrentCalls implements RecurrentVerbs {
  readonly #tools: RecurrentTools;
  readonly #runs: Buffer;
  #written: readonly number[] = [];
  /** What is in it: the runs of a batch in a store. */
  #now: { readonly batch: Batch; readonly states: StateStore; readonly count: number } | null = null;

  constructor(tools: RecurrentTools) {
    this.#tools = tools;
    this.#runs = tools.device.buffer("batch: runs and slots", 16 * tools.maxTokens, "scratch", "storage");
  }

  conv(states: StateStore, part: number, x: Tensor, { channels: C, taps, weights, gated }: Conv): Tensor {
    const { encoder, plans, scratch, given } = this.#tools;
    const from = given(x);
    const n = this.#count(states);
    const y = scratch.tensor("conv", from.shape[0], C, "tokens");
    const state = (states as GpuStates).part(part);
    plans.run(`conv ${state.id} ${from.buffer.id} ${y.buffer.id} ${bufferOf(weights).id}`, n, () => [
      encoder.call("conv", {
        params: { C, taps, stride: from.stride, y_stride: y.stride },
        overrides: { GATED: Number(gated) },
        buffers: { runs: this.#runs, x: from.buffer, w: bufferOf(weights), state, y: y.buffer },
      }),
    ]);
    return y;
  }

  delta(states: StateStore, part: number, qkv: Tensor, gates: Tensor, w: Delta): Tensor {
    const { encoder, plans, scratch, step, given } = this.#tools;
    const { keyHeads, valueHeads, keyDim: dk, valueDim: dv } = w;
    if (dk > MAX_KEY_DIM)
      throw new DeviceError(
        `linear_key_head_dim ${dk}: the WebGPU backend computes at most ${MAX_KEY_DIM}; use backend cpu`,
      );
    const [from, of] = [given(qkv), given(gates)];
    const n = this.#count(states);
    const T = from.shape[0];
    const factors = scratch.storage("delta factors", T, 4 * valueHeads, "tokens");
    const y = scratch.tensor("delta", T, valueHeads * dv, "tokens");
    const state = (states as GpuStates).part(part);
    const key = `${state.id} ${from.buffer.id} ${of.buffer.id} ${y.buffer.id}`;
    const shape = { key_heads: keyHeads, value_heads: valueHeads, stride: from.stride, tiled: Number(w.tiled) };
    plans.run(`delta_factors ${key}`, T, () => [
      encoder.call("delta_factors", {
        params: { ...shape, dk, gate_stride: of.stride },
        buffers: {
          ...{ count: step.counts.tokens, qkv: from.buffer, gates: of.buffer, factors },
          ...{ a_log: bufferOf(w.aLog), dt_bias: bufferOf(w.dtBias) },
        },
      }),
    ]);
    plans.run(`delta_rule ${key}`, n, () => [
      encoder.call("delta_rule", {
        params: { ...shape, dv, y_stride: y.stride },
        overrides: { DK: dk, QUADS: Math.ceil(dk / 16) },
        buffers: { runs: this.#runs, qkv: from.buffer, factors, state, y: y.buffer },
      }),
    ]);
    return y;
  }

  gate(x: Tensor, g: Tensor): Tensor {
    const { encoder, plans, scratch, step, given } = this.#tools;
    const [to, by] = [given(x), given(g)];
    plans.run(`gate ${to.buffer.id} ${by.buffer.id}`, to.shape[0], () => [
      encoder.call("gate", {
        params: { vectors: to.stride / 4 },
        buffers: { count: step.counts.tokens, x: to.buffer, g: by.buffer },
      }),
    ]);
    return scratch.reuse(to);
  }

  gatedNorm(x: Tensor, g: Tensor, w: Vector, eps: number): Tensor {
    const { encoder, plans, scratch, given } = this.#tools;
    const [to, by] = [given(x), given(g)];
    const runs = to.shape[1] / w.size;
    plans.run(`gated_norm ${to.buffer.id} ${by.buffer.id} ${bufferOf(w).id} ${eps}`, to.shape[0], () => [
      encoder.call("gated_norm", {
        params: { D: w.size, runs, stride: to.stride, eps },
        overrides: { THREADS: 64 },
        buffers: { x: to.buffer, g: by.buffer, w: bufferOf(w) },
      }),
    ]);
    return scratch.reuse(to);
  }

  /** Writes the batch's runs, once a step; returns how many they are. */
  #count(states: StateStore): number {
    const { batch: own, device } = this.#tools;
    const batch = own();
    if (this.#now?.batch === batch && this.#now.states === states) return this.#now.count;
    const runs = runsOf(batch, states);
    const words = runs.flatMap(({ first, rows, slot, fresh }) => [first, rows, slot, Number(fresh)]);
    // Steps that follow each other have the same runs: none is written while one may still wait.
    if (words.some((word, i) => word !== this.#written[i]))
      device.gpu.queue.writeBuffer(this.#runs.gpu, 0, Uint32Array.from(words));
    this.#written = words;
    this.#now = { batch, states, count: runs.length };
    return runs.length;
  }
}
