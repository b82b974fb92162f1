// The kernels of a token's experts on WebGPU, in the shapes of workgroups that are used where
// nothing is timed: how much of a dispatch has work, and on a software adapter its time a byte.

import type { Call } from "../../src/backend/webgpu/dispatch/commands.ts";
import type { Arithmetic } from "../../src/backend/webgpu/dispatch/shader.ts";
import { matvecCalls, sidesOf } from "../../src/backend/webgpu/tuning/matvec.ts";
import { usualForms } from "../../src/backend/webgpu/tuning/rows.ts";
import { ROUNDED } from "../../src/backend/webgpu/tuning/tiles.ts";
import { type MatvecVariant, Tuning } from "../../src/backend/webgpu/tuning/tuning.ts";
import type { PackedWeights } from "../../src/backend/webgpu/weights/space.ts";
import type { Format } from "../../src/tensor/format.ts";
import { KernelTrial, type TrialDevice } from "../kernel_trial.ts";
import { median } from "../residency/bounds.ts";
import type { Shape } from "./shape.ts";

/** Columns of the wide matrix. */
const WIDE = 4096;

/** A dispatch of one token. */
export interface GpuRow {
  readonly kernel: "expert_up_vec" | "expert_down_vec";
  /** Whether the shape is that of GPUs, or that of software adapters. */
  readonly for: "gpu" | "software";
  readonly arithmetic: Arithmetic;
  /** Invocations of a workgroup and of a team, and parts of a team with experts of their own. */
  readonly threads: number;
  readonly team: number;
  readonly sides: number;
  /** Of the first of the bindings that hold the experts. */
  readonly workgroups: number;
  readonly invocations: number;
  /** Units of eight columns of eight rows that the busiest invocation takes. */
  readonly most: number;
  /** Share of what all would take if each took as many. */
  readonly used: number;
  /** Its bytes of weights over its time, by that of a wide matrix; null where it was not timed. */
  readonly ofWide: number | null;
}

export class Shapes extends KernelTrial {
  readonly #on: TrialDevice;

  constructor(on: TrialDevice) {
    super(on);
    this.#on = on;
  }

  /** @param rounds of timing; 0: dispatches are only counted */
  async measure(
    { K, D, F }: Shape,
    format: Format,
    arithmetics: readonly Arithmetic[],
    rounds: number,
  ): Promise<GpuRow[]> {
    // Twice as many experts as a token takes: their bytes are beyond a processor's caches.
    const E = 2 * K;
    const up = this.weights(format, E, 2 * F, D);
    const down = this.weights(format, E, D, F);
    const lines = Math.ceil((K * 3 * F * D) / WIDE / 64) * 64;
    const wide = this.weights(format, 1, lines, WIDE);
    const most = Math.max(D, F, WIDE);
    const ids = this.filled(Uint32Array.from({ length: K }, (_, k) => 2 * k));
    const weights = this.filled(new Float32Array(K).fill(1 / K));
    const [y, floats] = [this.buffer(4 * K * Math.max(lines, 2 * most)), this.random(most, most, K)];
    const made: { row: Omit<GpuRow, "ofWide">; w: PackedWeights; calls: readonly Call[]; wide: readonly Call[] }[] = [];
    for (const arithmetic of arithmetics) {
      const int8 = arithmetic === "int8";
      const x = int8 ? this.rounded(floats, "int8", Math.ceil(most / 32), most, K) : floats;
      const input = { x, norm: null, D, eps: 0, key: "" };
      for (const place of ["gpu", "software"] as const) {
        const chosen = this.#tuning(place, arithmetic).experts(up, down, K);
        const run = (name: "expert_up_vec" | "expert_down_vec", w: PackedWeights, variant: MatvecVariant) => {
          const values =
            name === "expert_up_vec"
              ? { E, K, y_stride: int8 ? ROUNDED.int8.words(down.groups) : Math.ceil(F / 32) * 32 }
              : { E, K, y_stride: Math.ceil(D / 32) * 32, weights_at: 0, ADD: 0 };
          const calls = matvecCalls(this.encoder, name, w, { ...input, ...variant }, values, { ids, weights, y });
          const plain = { ...this.#tuning(place, "f32").matvec(wide), x: floats, norm: null, D: WIDE, eps: 0, key: "" };
          const by = matvecCalls(this.encoder, "matmul_vec", wide, plain, { y_stride: lines, ADD: 0 }, { y });
          made.push({ row: { for: place, ...countsOf(name, w, variant, K, calls) }, w, calls, wide: by });
        };
        run("expert_up_vec", up, chosen.up);
        run("expert_down_vec", down, chosen.down);
      }
    }
    const ratios = made.map((): number[] => []);
    for (let round = 0; round <= rounds && rounds > 0; round++)
      for (const [i, { calls, wide: by, w }] of made.entries()) {
        const [own, other] = [await this.took(calls), await this.took(by)];
        if (round > 0) ratios[i]!.push(((w.bytes / 2) * other) / (wide.bytes * own)); // the first compiles
      }
    this.free();
    return made.map(({ row }, i) => ({ ...row, ofWide: rounds > 0 ? median(ratios[i]!) : null }));
  }

  /** What is used on a GPU, or on a software adapter, for experts in one arithmetic. */
  #tuning(place: GpuRow["for"], arithmetic: Arithmetic): Tuning {
    const software = place === "software";
    const arithmetics: readonly Arithmetic[] = arithmetic === "f32" ? ["f32"] : ["f32", arithmetic];
    const subgroup = this.#on.subgroups ? 32 : null;
    const forms = usualForms(software);
    const rest = { tile: "shared64", matrix: null, forms, threads: 256 } as const;
    return new Tuning({ arithmetics, subgroup, software, int8First: arithmetic === "int8", ...rest });
  }
}

/** How a dispatch of one token is divided, as matvec.wgsl and the two kernels have it. */
function countsOf(
  kernel: GpuRow["kernel"],
  w: PackedWeights,
  variant: MatvecVariant,
  K: number,
  calls: readonly Call[],
): Omit<GpuRow, "for" | "ofWide"> {
  const { threads, teams, arithmetic } = variant;
  const team = threads / teams;
  const units = w.groups * 4;
  const sides = kernel === "expert_down_vec" ? sidesOf(K, w.groups, variant) : 1;
  const choices = kernel === "expert_down_vec" ? Math.ceil(K / sides) : 1;
  const most = choices * Math.ceil(units / (team / sides));
  // of one part: workgroups of the others find at once that their expert is not there
  const workgroups = calls[0]!.grid(1).reduce((a, b) => a * b);
  const invocations = workgroups * threads;
  const work = (w.ranges[0]!.rows / 8) * units * K;
  return { kernel, arithmetic, threads, team, sides, workgroups, invocations, most, used: work / (most * invocations) };
}
