// Times the kernels for few tokens in every weight format on WebGPU: products with a square matrix
// and with two experts, formats taking turns, so that all meet the same machine.

import { FORMATS, type FormatName } from "../kernels/formats/index.ts";
import { describeAdapter, requestAdapter, requestDevice } from "../src/backend/webgpu/device/adapter.ts";
import { type Buffer, Device } from "../src/backend/webgpu/device/device.ts";
import { openNodeGpu } from "../src/backend/webgpu/device/node_gpu.ts";
import type { Call } from "../src/backend/webgpu/dispatch/commands.ts";
import { StepEncoder } from "../src/backend/webgpu/dispatch/encoder.ts";
import type { Arithmetic } from "../src/backend/webgpu/dispatch/shader.ts";
import { matvecCalls } from "../src/backend/webgpu/tuning/matvec.ts";
import { somePanel, Trial } from "../src/backend/webgpu/tuning/trial.ts";
import { placesFor } from "../src/backend/webgpu/tuning/tuning.ts";
import { type PackedWeights, WeightSpace } from "../src/backend/webgpu/weights/space.ts";
import { RequestError } from "../src/errors.ts";
import { type Format, PANEL_ROWS } from "../src/tensor/format.ts";
import { median } from "./residency/bounds.ts";

export interface FormatsOptions {
  /** Part of an adapter's name; the first adapter without it. */
  readonly adapter?: string;
  readonly formats: readonly FormatName[];
  readonly arithmetics: readonly Arithmetic[];
  /** Columns of the matrices, and rows of the square one. */
  readonly width: number;
  readonly rounds: number;
}

/** One kernel in one format and arithmetic: the median of its rounds. */
export interface FormatRow {
  readonly kernel: "matmul_vec" | "expert_up_vec";
  readonly arithmetic: Arithmetic;
  readonly format: string;
  readonly ms: number;
  /** Weights that it reads. */
  readonly bytes: number;
  /** Its time a byte over that of q4 in the same arithmetic; null where q4 was not timed. */
  readonly ofQ4: number | null;
}

export interface FormatsReport {
  readonly adapter: string;
  /** Whether times are of all processors together, on a software adapter, or of a clock. */
  readonly clock: "processor" | "wall";
  readonly width: number;
  readonly rounds: number;
  readonly rows: readonly FormatRow[];
}

/** Experts, all of which the token takes. */
const EXPERTS = 2;
/** Dispatches of a timing. */
const REPEATS = 4;

export async function timeFormats(options: FormatsOptions): Promise<FormatsReport> {
  const node = await openNodeGpu(options.adapter);
  if (!node) throw new RequestError("bench: expected a WebGPU adapter, found none");
  const adapter = await requestAdapter(node.gpu);
  const wanted: readonly GPUFeatureName[] = ["shader-f16", "subgroups"];
  const features = wanted.filter((name) => adapter.features.has(name));
  const device = new Device(await requestDevice(adapter, features));
  const { name, software } = describeAdapter(adapter);
  try {
    const rows = await new Formats(device, features.includes("subgroups"), software).compare(options);
    const { width, rounds } = options;
    return { adapter: name, clock: software ? "processor" : "wall", width, rounds, rows };
  } finally {
    await device.close();
    await node.release();
  }
}

interface Case {
  readonly row: Omit<FormatRow, "ms" | "ofQ4">;
  readonly calls: readonly Call[];
  readonly times: number[];
}

class Formats extends Trial {
  readonly #space: WeightSpace;
  readonly #reduce: "tree" | "subgroups";

  readonly #software: boolean;

  constructor(device: Device, subgroups: boolean, software: boolean) {
    super({ device, encoder: new StepEncoder(device, subgroups) });
    this.#space = new WeightSpace(device, Number.POSITIVE_INFINITY);
    this.#software = software;
    this.#reduce = subgroups ? "subgroups" : "tree";
  }

  async compare({ formats, arithmetics, width, rounds }: FormatsOptions): Promise<FormatRow[]> {
    const x = this.random(width, width);
    const rounded = this.rounded(x, "int8", width / 32, width);
    const ids = this.filled(Uint32Array.from({ length: EXPERTS }, (_, k) => k));
    const y = this.buffer(4 * EXPERTS * width);
    const cases: Case[] = [];
    for (const name of formats) {
      const format: Format = FORMATS[name];
      const square = this.#filled(format, 1, width, width);
      const experts = this.#filled(format, EXPERTS, width, width);
      for (const arithmetic of arithmetics.filter((known) => format.arithmetics.includes(known))) {
        const int8 = arithmetic === "int8";
        const input = {
          x: int8 ? rounded : x,
          norm: null,
          D: width,
          eps: 0,
          key: "",
          arithmetic,
          reduce: this.#reduce,
        };
        const add = (kernel: FormatRow["kernel"], w: PackedWeights, calls: readonly Call[]): void => {
          const row = { kernel, arithmetic, format: name, bytes: w.bytes };
          cases.push({ row, calls, times: [] });
        };
        const one = { ...input, threads: 64, teams: 1, atOnce: placesFor(format, this.#software) } as const;
        if (!int8)
          add(
            "matmul_vec",
            square,
            matvecCalls(this.encoder, "matmul_vec", square, one, { y_stride: width, ADD: 0 }, { y }),
          );
        const many = int8 ? ({ ...one, threads: 256, teams: 8 } as const) : one;
        const values = { E: EXPERTS, K: EXPERTS, y_stride: int8 ? (width / 64) * 9 : width / 2 };
        add("expert_up_vec", experts, matvecCalls(this.encoder, "expert_up_vec", experts, many, values, { ids, y }));
      }
    }
    for (let round = 0; round <= rounds; round++)
      for (const one of cases) {
        const took = await this.#took(one.calls);
        if (round > 0) one.times.push(took); // the first compiles
      }
    this.free();
    const perByte = ({ row, times }: Case): number => median(times) / row.bytes;
    return cases.map((one) => {
      const { kernel, arithmetic } = one.row;
      const q4 = cases.find(({ row }) => row.format === "q4" && row.kernel === kernel && row.arithmetic === arithmetic);
      return { ...one.row, ms: median(one.times), ofQ4: q4 ? perByte(one) / perByte(q4) : null };
    });
  }

  /** Milliseconds of calls: of all processors together where they compute them. */
  async #took(calls: readonly Call[]): Promise<number> {
    for (let i = 0; i < REPEATS; i++) for (const call of calls) this.encoder.dispatch(call, 1);
    const [started, before] = [performance.now(), process.cpuUsage()];
    await this.encoder.readBits({ buffer: this.buffers[0]!, rows: 0, width: 0, stride: 0, type: "u32" });
    if (!this.#software) return (performance.now() - started) / REPEATS;
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000 / REPEATS;
  }

  /** E matrices [rows, cols] of the same panel again and again. */
  #filled(format: Format, E: number, rows: number, cols: number): PackedWeights {
    const made: Buffer[] = [];
    const w = this.#space.matrices(format.name, format, E, rows, cols, made);
    this.buffers.push(...made);
    const panel = somePanel(format, cols, 0);
    const { queue } = this.device.gpu;
    for (const [i, part] of w.parts.entries()) {
      const { layout, experts } = w.ranges[i]!;
      for (let e = 0; e < experts; e++)
        for (const [p, { offset }] of layout.planes.entries()) {
          const all = new Uint8Array((layout.rows / PANEL_ROWS) * panel[p]!.length);
          for (let at = 0; at < all.length; at += panel[p]!.length) all.set(panel[p]!, at);
          queue.writeBuffer(part.buffers.w.gpu, e * layout.bytes + offset, all);
        }
    }
    return w;
  }
}
