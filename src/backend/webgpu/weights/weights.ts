// Loads weights onto the device: a matrix, a vector, or all experts of a layer.

import { RequestError } from "../../../errors.ts";
import { type Format, GROUP, PANEL_ROWS } from "../../../tensor/format.ts";
import {
  biasOf,
  expertPanels,
  loadPanels,
  matrixPanels,
  type PanelSource,
  type PanelWork,
  type PanelWorkOf,
  plainWork,
} from "../../../tensor/load.ts";
import type { ExpertSource, MatrixSource } from "../../../tensor/types.ts";
import type { ExpertRule } from "../../ops.ts";
import type { Buffer, Device } from "../device/device.ts";
import {
  type GpuExperts,
  type GpuHeads,
  type GpuMatrix,
  type GpuOrder,
  type GpuVector,
  matrixSegments,
  type PackedWeights,
  type Segment,
  WeightSpace,
  writeSegments,
} from "./space.ts";

/** Bytes written before waiting: the queue keeps a copy of each until it is done. */
const IN_FLIGHT = 256 * 2 ** 20;

/** From how many bytes on a matrix is made elsewhere: threads take a while to start. */
const MANY = 2 ** 20;

export class WeightLoader {
  readonly #device: Device;
  readonly #workOf: PanelWorkOf | undefined;
  readonly space: WeightSpace;
  /** What was loaded. */
  readonly matrices: GpuMatrix[] = [];
  readonly experts: GpuExperts[] = [];
  #inFlight = 0;

  /**
   * @param limit bytes of weights that one binding may hold
   * @param workOf of large matrices, for one load at a time; default: plain arrays
   */
  constructor(device: Device, limit: number, workOf?: PanelWorkOf) {
    this.#device = device;
    this.#workOf = workOf;
    this.space = new WeightSpace(device, limit);
  }

  async matrix(source: MatrixSource, format: Format): Promise<GpuMatrix> {
    this.#device.check();
    const { name, rows, cols } = source;
    const panels = matrixPanels(source, format);
    const bias = await biasOf(source);
    const matrix = await this.#loaded(
      (made) => {
        const own = this.space.matrices(name, format, 1, rows, cols, made, bias !== null);
        if (bias) this.#putBias(own, bias);
        return { name, rows, cols, ...own };
      },
      (matrix) => [[panels, matrixSegments(matrix, 0, panels.layout)]],
    );
    this.matrices.push(matrix);
    return matrix;
  }

  /** The matrices of all heads: those of a layer's experts to kernels. They are not timed. */
  async heads(sources: readonly MatrixSource[], format: Format): Promise<GpuHeads> {
    this.#device.check();
    const { name, rows, cols } = sources[0]!;
    const heads = sources.length;
    const own = await this.#loaded(
      (made) => this.space.matrices(`${heads} heads from ${name}`, format, heads, rows, cols, made),
      (all) =>
        sources.map((source, h): [PanelSource, Segment[]] => {
          const panels = matrixPanels(source, format);
          return [panels, matrixSegments(all, h, panels.layout)];
        }),
    );
    return { heads, rows, cols, ...own };
  }

  /** Writes a matrix's bias [rows] behind the rows of each part. */
  #putBias({ parts, ranges }: PackedWeights, bias: Float32Array<ArrayBuffer>): void {
    for (const [i, { row, rows, layout }] of ranges.entries())
      this.#device.gpu.queue.writeBuffer(parts[i]!.buffers.w.gpu, layout.bytes, bias, row, rows);
  }

  async vector(source: MatrixSource): Promise<GpuVector> {
    this.#device.check();
    const size = source.rows * source.cols;
    const values = new Float32Array(Math.ceil(size / GROUP) * GROUP);
    await source.readRows(0, source.rows, values.subarray(0, size));
    const buffer = this.#device.buffer(source.name, values.byteLength, "weights", "storage");
    this.#device.gpu.queue.writeBuffer(buffer.gpu, 0, values);
    await this.#device.settle();
    return { size, bytes: buffer.size, buffer, values };
  }

  async order(lists: Uint32Array<ArrayBuffer>, cols: number): Promise<GpuOrder> {
    this.#device.check();
    const bytes = lists.byteLength;
    const buffer = this.#device.buffer("order of inputs", bytes, "weights", "storage");
    this.#device.gpu.queue.writeBuffer(buffer.gpu, 0, lists);
    await this.#device.settle();
    return { count: lists.length / cols, cols, bytes, buffer, lists };
  }

  async layer(sources: readonly ExpertSource[], up: Format, down: Format, rule?: ExpertRule): Promise<GpuExperts> {
    const layer = { ...(await this.#layer(sources, up, down)), rule };
    this.experts.push(layer);
    return layer;
  }

  /** An expert that every token goes to: it is not timed, experts of its kind are. */
  one(source: ExpertSource, up: Format, down: Format): Promise<GpuExperts> {
    return this.#layer([source], up, down);
  }

  async #layer(sources: readonly ExpertSource[], up: Format, down: Format): Promise<GpuExperts> {
    this.#device.check();
    const first = sources[0];
    if (!first) throw new RequestError("a layer of experts needs at least one expert, found none");
    const { name, rows: intermediate, cols: hidden } = first.w1;
    const count = sources.length;
    const shape = { count, hidden, intermediate, up, down };
    return this.#loaded(
      (made) => this.space.experts(`${count} experts from ${name}`, shape, count, made),
      ({ w13, w2 }) =>
        sources.flatMap((source, e): [PanelSource, Segment[]][] => {
          const panels = expertPanels(source, up, down);
          return [
            [panels.up, matrixSegments(w13, e, panels.up.layout)],
            [panels.down, matrixSegments(w2, e, panels.down.layout)],
          ];
        }),
    );
  }

  /** Makes room with `make`, and fills it with what `fill` says. Nothing is kept if that fails. */
  async #loaded<T>(
    make: (made: Buffer[]) => T,
    fill: (made: T) => readonly (readonly [PanelSource, readonly Segment[]])[],
  ): Promise<T> {
    const made: Buffer[] = [];
    try {
      const weights = make(made);
      await this.#device.settle();
      const plain = plainWork();
      for (const [source, segments] of fill(weights)) {
        const { stored, layout } = source;
        const few = stored !== null || layout.bytes < MANY;
        await this.#fill(source, segments, few ? plain : ((await this.#workOf?.(layout.format)) ?? plain));
      }
      await this.#device.settle();
      return weights;
    } catch (error) {
      for (const buffer of made) this.#device.free(buffer);
      throw error;
    }
  }

  async #fill(source: PanelSource, segments: readonly Segment[], work: PanelWork): Promise<void> {
    const device = this.#device;
    const { planes } = source.layout;
    await loadPanels(source, work, {
      planes(_, count) {
        const rows = Math.ceil(count / PANEL_ROWS) * PANEL_ROWS;
        return planes.map(({ rowBytes }, p) => work.memory(`panels ${p}`, rows * rowBytes));
      },
      done: async (row, _, panels) => {
        device.check(); // it may have been closed while the source was read
        for (const [p, { offset, rowBytes }] of planes.entries())
          writeSegments(device, segments, offset + row * rowBytes, panels[p]!);
        await this.#written(panels.reduce((sum, { length }) => sum + length, 0));
      },
    });
  }

  async #written(bytes: number): Promise<void> {
    this.#inFlight += bytes;
    if (this.#inFlight < IN_FLIGHT) return;
    this.#inFlight = 0;
    await this.#device.wait(this.#device.gpu.queue.onSubmittedWorkDone());
  }
}
