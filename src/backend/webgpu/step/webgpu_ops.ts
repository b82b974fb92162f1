// What the WebGPU backend offers beyond the verbs: experts in slots, tuning, profiles, counters;
// and what it is opened with.

import type { PanelWorkOf } from "../../../tensor/load.ts";
import type { ExpertShape } from "../../../tensor/record.ts";
import type { DeviceExperts, DeviceScheduler } from "../../experts.ts";
import type { Choosing, ExpertRule, Experts, Ops } from "../../ops.ts";
import type { Counters } from "../device/device.ts";
import type { Pace } from "../dispatch/pace.ts";
import type { Profiling } from "../dispatch/profile.ts";
import type { TuningStore } from "../tuning/autotune.ts";
import type { TuneOptions } from "../tuning/options.ts";
import type { Solved } from "../tuning/problem.ts";
import type { Abilities, Tuning } from "../tuning/tuning.ts";

/** Ops on WebGPU, with what residency, tests and measurements need beyond the interface. */
export interface WebGpuOps extends Ops {
  readonly device: GPUDevice;
  readonly tuning: Tuning;
  /**
   * Chooses the kernels that are fastest here for the weights loaded so far; `store`
   * remembers them. Between steps. Overwrites what transit slots hold (deviceExperts), which
   * it times experts on. Takes at most the budget, and then what one candidate of each problem that
   * is left takes. Returns what was timed now.
   * @throws the signal's reason, DeviceError
   */
  tune(store: TuningStore | null, options?: TuneOptions): Promise<readonly Solved[]>;
  /**
   * After a step that failed because a variant of a kernel does not compile: does without what that
   * variant has (its arithmetic, its tile, subgroups), and names it in `info.leftOut`. Returns
   * false for any other error, and where there is no other variant.
   */
  leaveOut(error: unknown): boolean;
  readonly profiling: Profiling;
  readonly choosing: Choosing;
  /** 0: none. */
  readonly rowsAgree: number;
  deviceExperts(shape: ExpertShape, layers: number, slots: number, transit: number): Promise<DeviceExperts>;
  slottedExperts(layer: number, device: DeviceExperts, scheduler: DeviceScheduler, rule?: ExpertRule): Experts;
  counters(): Readonly<Counters>;
}

export interface VerbsOptions {
  /** Largest batch (T) of a step. */
  readonly maxTokens: number;
  readonly abilities: Abilities;
  /** The adapter and its driver: what is known of another version is not used. */
  readonly adapterKey: string;
  /** Bind at most this many bytes of weights at once. Default: what the device allows. */
  readonly maxWeightBytes?: number;
  /** Where large matrices are made; one load at a time then. Default: plainWork(). */
  readonly workOf?: PanelWorkOf;
  /** How long a submit may take, and what is known of it. */
  readonly pace?: Pace;
  /** Called once, when close() has ended all that ran. */
  readonly onClose?: () => void;
}
