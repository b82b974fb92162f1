// Tensors of a step and the buffers under them, which are kept from step to step.

import { RequestError } from "../../../errors.ts";
import { GROUP } from "../../../tensor/format.ts";
import type { Tensor } from "../../../tensor/types.ts";
import type { Buffer, Device } from "../device/device.ts";
import type { RowKind } from "./batch.ts";

/**
 * A tensor [rows, width] of f32 or u32; a row takes `stride` elements, of which those past `width`
 * stay zero.
 */
export interface GpuTensor extends Tensor {
  readonly shape: readonly [number, number];
  readonly buffer: Buffer;
  readonly stride: number;
  readonly rows: RowKind;
  readonly type: "f32" | "u32";
  /**
   * Set on a norm that its readers compute: the tensor is rmsNorm() of the contents of `buffer`.
   */
  readonly norm?: Norm;
}

/** rmsNorm() of a tensor, not computed yet. */
export interface Norm {
  readonly of: GpuTensor;
  readonly weights: Buffer; // [D]
  readonly eps: number;
}

/**
 * Results of one verb and width that exist at once. A forward pass needs two (both norms of a
 * layer); a third takes the oldest one's storage, and using that one afterwards is an error, not a
 * wrong number.
 */
const RING = 2;

export class Scratch {
  readonly #device: Device;
  readonly #maxTokens: number;
  readonly #replaced: (buffer: Buffer) => void;
  readonly #rings = new Map<string, { buffers: (Buffer | undefined)[]; next: number }>();
  readonly #owners = new Map<Buffer, GpuTensor>();

  /** @param replaced called with each buffer before it is freed */
  constructor(device: Device, maxTokens: number, replaced: (buffer: Buffer) => void) {
    this.#device = device;
    this.#maxTokens = maxTokens;
    this.#replaced = replaced;
  }

  /** Ends the life of all tensors. */
  begin(): void {
    this.#owners.clear();
    for (const ring of this.#rings.values()) ring.next = 0;
  }

  /**
   * A tensor [n, width] of f32 for a verb's result; rows are padded to whole groups,
   * as weights are.
   */
  tensor(verb: string, n: number, width: number, rows: RowKind): GpuTensor {
    return this.#make(verb, n, width, padded(width), rows, "f32");
  }

  /** A tensor [n, width] without padding: experts' ids and weights. */
  list(verb: string, n: number, width: number, rows: RowKind, type: "f32" | "u32"): GpuTensor {
    return this.#make(verb, n, width, width, rows, type);
  }

  /** Ends the life of x. */
  end(x: GpuTensor | null): void {
    if (x && this.#owners.get(x.buffer) === x) this.#owners.delete(x.buffer);
  }

  /** The storage of `x` as a new tensor; x itself must not be used again. */
  reuse(x: GpuTensor): GpuTensor {
    const tensor = { ...x };
    this.#owners.set(x.buffer, tensor);
    return tensor;
  }

  /**
   * A buffer of n x perRow rows of `stride` 4-byte elements, for the largest batch where rows are
   * tokens, and for the next power of two where they are outputs: mostly one, but V numbers wide.
   */
  storage(verb: string, n: number, stride: number, rows: RowKind, perRow = 1, ring = 1): Buffer {
    const key = `${verb} ${stride} ${rows} ${perRow}`;
    let found = this.#rings.get(key);
    if (!found) {
      found = { buffers: Array<Buffer | undefined>(ring).fill(undefined), next: 0 };
      this.#rings.set(key, found);
    }
    const at = found.next;
    found.next = (at + 1) % ring;
    const old = found.buffers[at];
    if (old && old.size >= n * perRow * stride * 4) return old;
    if (old) {
      this.#replaced(old);
      this.#device.free(old);
    }
    const capacity = rows === "tokens" ? this.#maxTokens : 2 ** Math.ceil(Math.log2(Math.max(n, 1)));
    const buffer = this.#device.buffer(
      `${verb} [${capacity * perRow}, ${stride}]`,
      capacity * perRow * stride * 4,
      "scratch",
      "storage",
    );
    found.buffers[at] = buffer;
    return buffer;
  }

  /** The tensor behind a handle. @throws RequestError if its life is over */
  own(x: Tensor): GpuTensor {
    const tensor = x as GpuTensor;
    const stored = tensor.norm?.of ?? tensor;
    if (this.#owners.get(stored.buffer) !== stored) {
      throw new RequestError(
        `a tensor [${x.shape}] was used after its life: it ends with begin(), with add() into it or into what it is the norm of, and when the verb that made it has made two more of the same width`,
      );
    }
    return tensor;
  }

  #make(verb: string, n: number, width: number, stride: number, rows: RowKind, type: "f32" | "u32"): GpuTensor {
    const buffer = this.storage(verb, n, stride, rows, 1, RING);
    const tensor: GpuTensor = { shape: [n, width], buffer, stride, rows, type };
    this.#owners.set(buffer, tensor);
    return tensor;
  }
}

/** Elements of a row of `width`, padding included. */
export function padded(width: number): number {
  return Math.ceil(width / GROUP) * GROUP;
}
