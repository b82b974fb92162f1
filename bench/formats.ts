// Times the kernels for few tokens in every weight format on WebGPU: products with a square matrix
// and with two experts, formats taking turns, so that all meet the same machine.

import { FORMATS, type FormatName } from "../kernels/formats/index.ts";
import type { Call } from "../src/backend/webgpu/dispatch/commands.ts";
import type { Arithmetic } from "../src/backend/webgpu/dispatch/shader.ts";
import { matvecCalls } from "../src/backend/webgpu/tuning/matvec.ts";
import { placesFor } from "../src/backend/webgpu/tuning/places.ts";
import { ROUNDED } from "../src/backend/webgpu/tuning/tiles.ts";
import type { PackedWeights } from "../src/backend/webgpu/weights/space.ts";
import type { Format } from "../src/tensor/format.ts";
import { KernelTrial, onDevice } from "./kernel_trial.ts";
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

export async function timeFormats(options: FormatsOptions): Promise<FormatsReport> {
  return onDevice(options.adapter, async (on) => {
    const rows = await new Formats(on).compare(options);
    const { width, rounds } = options;
    return { adapter: on.name, clock: on.software ? "processor" : "wall", width, rounds, rows };
  });
}

interface Case {
  readonly row: Omit<FormatRow, "ms" | "ofQ4">;
  readonly calls: readonly Call[];
  readonly times: number[];
}

class Formats extends KernelTrial {
  async compare({ formats, arithmetics, width, rounds }: FormatsOptions): Promise<FormatRow[]> {
    const x = this.random(width, width);
    const rounded = this.rounded(x, "int8", width / 32, width);
    const ids = this.filled(Uint32Array.from({ length: EXPERTS }, (_, k) => k));
    const y = this.buffer(4 * EXPERTS * width);
    const cases: Case[] = [];
    for (const name of formats) {
      const format: Format = FORMATS[name];
      const square = this.weights(format, 1, width, width);
      const experts = this.weights(format, EXPERTS, width, width);
      for (const arithmetic of arithmetics.filter((known) => format.arithmetics.includes(known))) {
        const int8 = arithmetic === "int8";
        const input = {
          x: int8 ? rounded : x,
          norm: null,
          D: width,
          eps: 0,
          key: "",
          arithmetic,
          reduce: this.reduce,
        };
        const add = (kernel: FormatRow["kernel"], w: PackedWeights, calls: readonly Call[]): void => {
          const row = { kernel, arithmetic, format: name, bytes: w.bytes };
          cases.push({ row, calls, times: [] });
        };
        const one = {
          ...input,
          threads: 64,
          teams: 1,
          atOnce: placesFor(format, { software: this.software }),
        } as const;
        if (!int8)
          add(
            "matmul_vec",
            square,
            matvecCalls(this.encoder, "matmul_vec", square, one, { y_stride: width, ADD: 0 }, { y }),
          );
        const many = int8 ? ({ ...one, threads: 256, teams: 8 } as const) : one;
        const values = { E: EXPERTS, K: EXPERTS, y_stride: int8 ? ROUNDED.int8.words(width / 64) : width / 2 };
        add("expert_up_vec", experts, matvecCalls(this.encoder, "expert_up_vec", experts, many, values, { ids, y }));
      }
    }
    for (let round = 0; round <= rounds; round++)
      for (const one of cases) {
        const took = await this.took(one.calls);
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
}
