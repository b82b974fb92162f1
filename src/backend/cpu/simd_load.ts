// Packs weights on all threads into heaps; stored panels are read directly into their place.

import { MemoryError } from "../../errors.ts";
import {
  type Format,
  type GgmlType,
  GROUP,
  PANEL_ROWS,
  type PanelLayout,
  packRows,
  panelLayout,
  rowBlocks,
} from "../../tensor/format.ts";
import {
  BlocksAhead,
  biasOf,
  expertPanels,
  type LoadRange,
  loadPanels,
  matrixPanels,
  type PanelSource,
  type PanelTarget,
  type PanelWork,
  splitSides,
  splitsBlocks,
} from "../../tensor/load.ts";
import { planesOf, rowsOfPanels } from "../../tensor/panels.ts";
import { type ExpertShape, recordLayout } from "../../tensor/record.ts";
import type { ExpertSource, MatrixSource } from "../../tensor/types.ts";
import type { ConvertHow } from "../experts.ts";
import { HEAP_BYTES, type Heap } from "./heap.ts";
import type { SimdHeaps } from "./simd_heaps.ts";

/** A packed matrix in a heap. */
export interface SimdMatrix {
  readonly heap: Heap;
  readonly format: Format;
  readonly rows: number;
  readonly cols: number;
  /** Groups of 32 columns. */
  readonly groups: number;
  readonly at: number;
  /** Address in the home heap of its bias [rows]; null: none. */
  readonly bias: number | null;
}

/** An expert's two matrices, in one heap. */
export interface ExpertMatrices {
  readonly w13: SimdMatrix; // [2F, D], rows of w1 and w3 in turn
  readonly w2: SimdMatrix; // [D, F]
}

/** The most bytes of f32 rows while a matrix is loaded. */
const PIECE_BYTES = 4 * 2 ** 20;
/**
 * The most bytes of a file's blocks in a lane, which are split or read ahead: the disk has work
 * while an expert is computed.
 */
const LANE_BYTES = 48 * 2 ** 20;
/** The same of all lanes. */
export const AHEAD_BYTES = 2 * LANE_BYTES;
/** Where a packed matrix may begin. */
const ALIGN = 64;
/** Rows that are packed faster than handed to another thread. */
const GRAIN_WEIGHTS = 16_384;

/** Loads a matrix into a heap with room, its bias into `home`. @throws WeightsError, MemoryError */
export async function loadMatrix(
  heaps: SimdHeaps,
  home: Heap,
  source: MatrixSource,
  format: Format,
): Promise<SimdMatrix> {
  const panels = matrixPanels(source, format);
  const { heap, at } = await allocate(heaps, source, format.name, panels.layout.bytes);
  await loadAt(heaps, panels, heap, at);
  const values = await biasOf(source);
  const bias = values && home.allocate(values.byteLength, `the bias of ${source.name}`);
  if (bias !== null) home.floats.set(values!, bias / 4);
  return { ...matrixAt(heap, at, panels.layout, source.rows), bias };
}

/** Loads matrices of one shape into one heap with room. @throws WeightsError, MemoryError */
export async function loadEach(
  heaps: SimdHeaps,
  sources: readonly MatrixSource[],
  format: Format,
): Promise<readonly SimdMatrix[]> {
  const { rows, cols } = sources[0]!;
  const layout = panelLayout(format, rows, cols);
  const bytes = Math.ceil(layout.bytes / ALIGN) * ALIGN;
  const { heap, at } = await allocate(heaps, sources[0]!, format.name, bytes * sources.length);
  for (const [i, source] of sources.entries()) await loadAt(heaps, matrixPanels(source, format), heap, at + i * bytes);
  return sources.map((_, i) => matrixAt(heap, at + i * bytes, layout, rows));
}

/** Loads one expert as a record into a heap with room. @throws WeightsError, MemoryError */
export async function loadExpert(
  heaps: SimdHeaps,
  source: ExpertSource,
  up: Format,
  down: Format,
): Promise<ExpertMatrices> {
  const { rows: intermediate, cols: hidden } = source.w1;
  const shape: ExpertShape = { count: 1, hidden, intermediate, up, down };
  const names = up === down ? up.name : `${up.name} and ${down.name}`;
  const { heap, at } = await allocate(heaps, source.w1, names, recordLayout(shape).bytes);
  await packRecord(heaps, source, shape, heap, at);
  return expertAt(heap, at, shape);
}

/** The matrices of the record at an address. */
export function expertAt(heap: Heap, at: number, shape: ExpertShape): ExpertMatrices {
  const { up, down, downOffset } = recordLayout(shape);
  return {
    w13: matrixAt(heap, at, up, 2 * shape.intermediate),
    w2: matrixAt(heap, at + downOffset, down, shape.hidden),
  };
}

/**
 * Packs an expert as a record of recordLayout(shape).bytes at an address (a multiple of 64) of a
 * heap, on all threads. As many at a time as HostExperts.convert() says.
 * @throws WeightsError, the signal's reason
 */
export async function packRecord(
  heaps: SimdHeaps,
  source: ExpertSource,
  shape: ExpertShape,
  heap: Heap,
  address: number,
  how: ConvertHow = {},
): Promise<void> {
  const { up, downOffset, down, bytes } = recordLayout(shape);
  const panels = expertPanels(source, shape.up, shape.down);
  const ranges = [panels.up, panels.down]
    .filter(splitsBlocks)
    .map((source) => ({ source, first: 0, rows: source.rows }));
  const ahead = new BlocksAhead(ranges, heapWork(heaps, heap), how);
  try {
    const range = { signal: how.signal, bypass: how.bypass ?? false, ahead };
    await loadAt(heaps, panels.up, heap, address, range);
    heap.bytes.fill(0, address + up.bytes, address + downOffset);
    await loadAt(heaps, panels.down, heap, address + downOffset, range);
    heap.bytes.fill(0, address + downOffset + down.bytes, address + bytes);
  } finally {
    await ahead.end();
  }
}

/** Loads a packed matrix to an address of a heap. */
async function loadAt(
  heaps: SimdHeaps,
  source: PanelSource,
  heap: Heap,
  at: number,
  range: LoadRange = {},
): Promise<void> {
  const { layout } = source;
  await heaps.prepare(layout.format, heap);
  const planes = planesOf(layout, new Uint8Array(heap.bytes.buffer, at, layout.bytes));
  const target: PanelTarget = { planes: (row, count) => rowsOfPanels(layout.planes, planes, row, count) };
  await loadPanels(source, heapWork(heaps, heap), target, range);
}

/**
 * Packs and weaves on all threads, in a heap prepared for the format, which must
 * contain the planes.
 */
export function heapWork(heaps: SimdHeaps, heap: Heap): PanelWork {
  const space = heaps.workspace(heap);
  const grain = (cols: number): number => PANEL_ROWS * Math.ceil(GRAIN_WEIGHTS / cols / PANEL_ROWS);
  /** Where kernels find a type's codebook; 0 if it has none. */
  const codebookAt = ({ codebook }: GgmlType): number => {
    if (codebook === undefined) return 0;
    const at = space.at("codebook", codebook.byteLength);
    new Uint32Array(heap.bytes.buffer, at, codebook.length).set(codebook);
    return at;
  };
  const work: PanelWork = {
    pieceBytes: PIECE_BYTES,
    aheadBytes: LANE_BYTES,
    memory(name, bytes) {
      const at = space.at(name, bytes); // the memory may grow for it
      return new Uint8Array(heap.bytes.buffer, at, bytes);
    },
    pack(format, x, count, cols, planes, importance) {
      const bound = heaps.kernels(format, heap);
      if (bound.kernels.pack === undefined) {
        packRows(format, x, count, cols, planes, importance);
        return;
      }
      const [first = 0, second = 0, third = 0, fourth = 0] = planes.map(({ byteOffset }) => byteOffset);
      const args = [x.byteOffset, cols, format.group, importance?.byteOffset ?? 0];
      heaps.pool.run("pack", bound, count, grain(cols), ...args, first, second, third, fourth);
    },
    split(format, sides, count, cols, planes, panels) {
      const bound = heaps.kernels(format, heap);
      const [{ ggml, bytes }, other] = [sides[0]!, sides.at(-1)!];
      // A format that few files have may have no kernel for it; few have w1 and w3 of two types.
      if (bound.kernels.split === undefined || other.ggml !== ggml) {
        splitSides(format, sides, count, cols, planes, panels);
        return;
      }
      const groups = Math.ceil(cols / format.group);
      const addresses = (of: readonly Uint8Array[]) => [0, 1, 2, 3].map((p) => of[p]?.byteOffset ?? 0);
      const halves = format.planes.reduce((bits, { element }, p) => bits | (element === 2 ? 1 << p : 0), 0);
      const blocks = [bytes.byteOffset, other.bytes.byteOffset, sides.length, rowBlocks(format, ggml, cols)];
      const from = [...blocks, groups, ggml.bytes, format.group, codebookAt(ggml)];
      const to = [...addresses(planes), halves, ...addresses(panels)];
      heaps.pool.run("split", bound, count, grain(cols), ...from, ...to);
    },
    weave({ planes }, rows, count, first, step, panels) {
      for (const [p, { element }] of planes.entries()) {
        const { byteOffset, length } = rows[p]!;
        const elements = length / count / element;
        const out = panels[p]!.byteOffset;
        heaps.pool.run("weave", heap, count, grain(elements), byteOffset, elements, element, first, step, out);
      }
    },
  };
  return work;
}

async function allocate(heaps: SimdHeaps, { name, rows, cols }: MatrixSource, formats: string, bytes: number) {
  const what = `${name}: [${rows}, ${cols}] in ${formats}`;
  if (bytes > HEAP_BYTES)
    throw new MemoryError(
      `${what}: ${bytes} bytes do not fit in one WebAssembly memory (${HEAP_BYTES} bytes); choose a smaller precision`,
    );
  const heap = await heaps.forWeights(bytes);
  return { heap, at: heap.allocate(bytes, what) };
}

/** A matrix of `rows` rows at an address. */
function matrixAt(heap: Heap, at: number, { format, cols, padded }: PanelLayout, rows: number): SimdMatrix {
  return { heap, format, rows, cols, groups: padded / GROUP, at, bias: null };
}
