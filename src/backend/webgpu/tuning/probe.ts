// Checks that reductions by subgroup operations give what a tree gives on this device, and that a
// subgroup is invocations in a row, as teams take for granted; turns them off where that is not so.

import { DeviceError } from "../../../errors.ts";
import type { Device } from "../device/device.ts";
import { nmse, Trial, type TrialContext } from "./trial.ts";
import type { Tuning } from "./tuning.ts";

/**
 * Columns of the row that is reduced: more than a workgroup has invocations, and no
 * multiple of them.
 */
const COLUMNS = 300;
const TOLERANCE = 1e-8;
/** Invocations of the largest workgroup. */
const THREADS = 256;

/** Devices that were checked. */
const asked = new WeakSet<Device>();

type ProbeContext = Required<TrialContext> & { readonly tuning: Tuning };

/**
 * Turns subgroups off, with a note, where they do not compile or give something else.
 * @throws DeviceError once the device is lost
 */
export async function probe(context: ProbeContext): Promise<void> {
  const { device, encoder, tuning } = context;
  if (tuning.abilities.subgroup === null || asked.has(device)) return;
  asked.add(device);
  let why: string | null;
  try {
    why = await new Probe(context).subgroups();
  } catch (error) {
    device.check();
    if (!(error instanceof DeviceError)) throw error;
    why = error.message;
  }
  if (why === null) return;
  tuning.leaveOut({ reduce: "subgroups" });
  encoder.reduce = "tree";
  context.leftOut(`reductions by subgroups: ${why}`);
}

class Probe extends Trial {
  /** Null if both ways agree, else how they differ. */
  async subgroups(): Promise<string | null> {
    try {
      const x = this.random(COLUMNS, COLUMNS);
      const w = this.random(COLUMNS, COLUMNS);
      const y = this.buffer(COLUMNS * 4);
      const count = this.count(1);
      const by = (reduce: "tree" | "subgroups") =>
        this.floats(
          [
            this.encoder.call("rms_norm", {
              variant: { reduce },
              params: { D: COLUMNS, vectors: COLUMNS / 4, eps: 0 },
              overrides: { THREADS: 64 },
              buffers: { count, x, w, y },
            }),
          ],
          y,
          COLUMNS,
        );
      const error = nmse(await by("subgroups"), await by("tree"));
      if (!(error <= TOLERANCE)) return `a row's norm differs (normalised error ${error.toExponential(1)})`;
      return (await this.#inARow()) ? null : "a subgroup is not invocations in a row";
    } finally {
      this.free();
    }
  }

  /** Whether the invocations of subgroups follow each other, in the order of the subgroups. */
  async #inARow(): Promise<boolean> {
    const y = this.buffer(THREADS * 4);
    const call = this.encoder.call("subgroup_places", { overrides: { THREADS }, buffers: { y } });
    this.encoder.dispatch(call, 1);
    const places = await this.encoder.readBits({ buffer: y, rows: 1, width: THREADS, stride: THREADS, type: "u32" });
    return places.every((place, i) => place === i);
  }
}
