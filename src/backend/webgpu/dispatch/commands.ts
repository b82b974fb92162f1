// Commands of a step: kernels bound to buffers, each dispatched over some rows, and a pass of them.

import type { Batch } from "../../ops.ts";
import type { Cost } from "./cost.ts";
import type { Pipeline } from "./pipelines.ts";
import type { KernelName } from "./table.ts";

/** A kernel bound to its buffers, ready to be dispatched again and again. */
export interface Call {
  /** Kernel, variant and the shape of its weights, as "matmul_vec q4 6144x4096". */
  readonly name: string;
  readonly kernel: KernelName;
  readonly pipeline: Pipeline;
  readonly group: GPUBindGroup;
  /** Workgroups for n rows: x, y, z. */
  readonly grid: (n: number) => readonly [number, number, number];
  /** Bytes of matrices read for n rows. */
  readonly weights: (n: number) => number;
  readonly cost: (n: number, batch: Batch) => Cost;
}

export interface Command {
  readonly call: Call;
  readonly n: number;
  readonly grid: readonly [number, number, number];
}

/** Makes passes of a submit's commands. */
export interface PassWriter {
  encode(encoder: GPUCommandEncoder, commands: readonly Command[]): void;
}

/** One pass of `commands`. */
export function encodePass(
  encoder: GPUCommandEncoder,
  commands: readonly Command[],
  descriptor?: GPUComputePassDescriptor,
): void {
  const pass = encoder.beginComputePass(descriptor);
  for (const { call, grid } of commands) {
    pass.setPipeline(call.pipeline.ready!);
    pass.setBindGroup(0, call.group);
    pass.dispatchWorkgroups(...grid);
  }
  pass.end();
}
