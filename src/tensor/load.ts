// Loads a weights source into panels: reads rows in bounded pieces, packs and weaves them; blocks
// of a GGUF file are split into planes instead; stored panels are copied unchanged. Backends
// provide memory and arithmetic; this file knows no device and no thread.

import { WeightsError } from "../errors.ts";
import {
  type Format,
  type GgmlType,
  PANEL_ROWS,
  type PanelLayout,
  packRows,
  panelLayout,
  rowBlocks,
  rowsOfPlanes,
  splitRows,
} from "./format.ts";
import { weave } from "./panels.ts";
import { RECORD_ALIGN, recordLayout } from "./record.ts";
import { storedPart } from "./stored.ts";
import type { ExpertSource, MatrixSource, StoredPanels } from "./types.ts";

/** The most bytes of stored panels to read at once. */
const STORED_PIECE = 16 * 2 ** 20;
/** The most bytes of blocks in a piece: a disk is quicker with long reads. */
const BLOCKS_PIECE = 8 * 2 ** 20;

/** The sources of a packed matrix. */
export interface PanelSource {
  readonly layout: PanelLayout;
  /** Rows without padding. */
  readonly rows: number;
  /** Matrices of the same shape whose rows alternate: row i of n is row i / n of matrix i mod n. */
  readonly alternate: readonly MatrixSource[];
  /** The stored panels, if there are any. */
  readonly stored: StoredPanels | null;
}

/** A matrix's bias [rows], or null. @throws WeightsError */
export async function biasOf({ name, rows, bias }: MatrixSource): Promise<Float32Array<ArrayBuffer> | null> {
  if (!bias) return null;
  if (bias.rows * bias.cols !== rows)
    throw new RangeError(`${name}: a bias of ${bias.rows * bias.cols} for ${rows} rows`);
  const values = new Float32Array(rows);
  await bias.readRows(0, bias.rows, values);
  return values;
}

/** A matrix in a format. */
export function matrixPanels(source: MatrixSource, format: Format): PanelSource {
  const { rows, cols, panels } = source;
  const stored = panels?.format === format ? panels : null;
  return { layout: panelLayout(format, rows, cols), rows, alternate: [source], stored };
}

/** The two matrices of an expert's record. */
export function expertPanels(
  source: ExpertSource,
  up: Format,
  down: Format,
): { readonly up: PanelSource; readonly down: PanelSource } {
  const { w1, w3, w2, w13 } = source;
  const record = source.record?.up === up && source.record.down === down ? source.record : null;
  const layout = recordLayout({ hidden: w1.cols, intermediate: w1.rows, up, down });
  return {
    up: {
      layout: layout.up,
      rows: 2 * w1.rows,
      alternate: w13 ? [w13] : [w1, w3],
      stored: record && storedPart(record, layout.up, 0),
    },
    down: {
      layout: layout.down,
      rows: w2.rows,
      alternate: [w2],
      stored: record && storedPart(record, layout.down, layout.downOffset),
    },
  };
}

/** Whether an expert is loaded from blocks: its conversion takes less time than a disk needs. */
export function isInBlocks({ w1, w3, w2 }: ExpertSource, up: Format, down: Format): boolean {
  return holdsBlocks(w1, up) && holdsBlocks(w3, up) && holdsBlocks(w2, down);
}

function holdsBlocks(source: MatrixSource, format: Format): boolean {
  return source.readBlocks !== undefined && source.ggml !== undefined && source.format === format;
}

/** Blocks of some rows of a matrix. */
export interface Blocks {
  readonly ggml: GgmlType;
  readonly bytes: Uint8Array;
}

/** Memory and arithmetic to turn rows into panels. */
export interface PanelWork {
  /** The most bytes of f32 rows at once. */
  readonly pieceBytes: number;
  /** The most bytes of blocks at once: a piece that is split, and those that are read ahead. */
  readonly aheadBytes: number;
  /** Memory aligned to 16 bytes; may be the same at every call with this name. */
  memory(name: string, bytes: number): Uint8Array;
  /** Like packRows() of format.ts. */
  pack(
    format: Format,
    x: Float32Array,
    count: number,
    cols: number,
    planes: readonly Uint8Array[],
    importance?: Float32Array,
  ): void;
  /**
   * Splits the blocks of one matrix, or of two whose rows alternate, as splitRows() of format.ts
   * does, and weaves all `count` rows; `planes` have room for as many.
   */
  split(
    format: Format,
    sides: readonly Blocks[],
    count: number,
    cols: number,
    planes: readonly Uint8Array[],
    panels: readonly Uint8Array[],
  ): void;
  /** Like weave() of panels.ts. */
  weave(
    format: Format,
    rows: readonly Uint8Array[],
    count: number,
    first: number,
    step: number,
    panels: readonly Uint8Array[],
  ): void;
}

/** The work for panels of a format. What it made last may be overwritten by what it makes next. */
export type PanelWorkOf = (format: Format) => PanelWork | Promise<PanelWork>;

/** PanelWork on plain arrays, which are reused. */
export function plainWork(pieceBytes = 16 * 2 ** 20): PanelWork {
  const kept = new Map<string, Uint8Array>();
  return {
    pieceBytes,
    aheadBytes: 3 * BLOCKS_PIECE,
    memory(name, bytes) {
      const found = kept.get(name);
      if (found && found.length >= bytes) return found.subarray(0, bytes);
      const made = new Uint8Array(bytes);
      kept.set(name, made);
      return made;
    },
    pack: packRows,
    split: splitSides,
    weave,
  };
}

/** PanelWork.split() in plain arrays. */
export function splitSides(
  format: Format,
  sides: readonly Blocks[],
  count: number,
  cols: number,
  planes: readonly Uint8Array[],
  panels: readonly Uint8Array[],
): void {
  const n = count / sides.length;
  const rows = rowsOfPlanes(planes, count, 0, n);
  for (const [side, { ggml, bytes }] of sides.entries()) {
    splitRows(format, ggml, bytes, n, cols, rows);
    weave(format, rows, n, side, sides.length, panels);
  }
}

/** The destination of panels. */
export interface PanelTarget {
  /** Memory for the panels of rows [row, row + count) with padding, one for each plane. */
  planes(row: number, count: number): readonly Uint8Array[];
  /** Called when the panels of these rows are complete. */
  done?(row: number, count: number, planes: readonly Uint8Array[]): Promise<void> | void;
}

/** Whether panels are made of blocks. */
export function splitsBlocks({ layout, alternate, stored }: PanelSource): boolean {
  return stored === null && alternate.every((matrix) => holdsBlocks(matrix, layout.format));
}

/** Rows of a piece, whole panels of every matrix. */
export function pieceRows(source: PanelSource, { pieceBytes }: PanelWork): number {
  const { layout, alternate } = source;
  const { format, cols } = layout;
  const [most, rowBytes] = splitsBlocks(source)
    ? [
        Math.min(BLOCKS_PIECE, 2 * pieceBytes) / alternate.length,
        Math.max(...alternate.map(({ ggml }) => rowBlocks(format, ggml!, cols))),
      ]
    : [pieceBytes, 4 * cols];
  return alternate.length * Math.max(1, Math.floor(most / (rowBytes * PANEL_ROWS))) * PANEL_ROWS;
}

/**
 * Makes the panels of rows [first, first + rows), where `first` is a multiple of 16, in pieces and
 * in order.
 * @throws WeightsError from the source, or if the rows cannot be packed to the format; the signal's
 * reason
 */
export async function loadPanels(
  source: PanelSource,
  work: PanelWork,
  target: PanelTarget,
  { first = 0, rows = source.rows - first, signal, bypass = false, ahead: given }: LoadRange = {},
): Promise<void> {
  const { layout, stored } = source;
  const largest = Math.max(...layout.planes.map(({ rowBytes }) => rowBytes));
  const piece = stored
    ? Math.max(1, Math.floor(STORED_PIECE / (largest * PANEL_ROWS))) * PANEL_ROWS
    : pieceRows(source, work);
  const blocks = splitsBlocks(source);
  const own = blocks && !given ? new BlocksAhead([{ source, first, rows }], work, { signal, bypass }) : null;
  const ahead = blocks ? (given ?? own) : null;
  try {
    for (let row = first; row < first + rows; row += piece) {
      signal?.throwIfAborted();
      const count = Math.min(piece, first + rows - row);
      const planes = target.planes(row, count);
      if (stored)
        for (const [p, { offset, rowBytes }] of layout.planes.entries())
          await stored.read(offset + row * rowBytes, planes[p]!, signal, bypass);
      else await makePanels(source, work, row, count, planes, await ahead?.next());
      await target.done?.(row, count, planes);
    }
  } finally {
    await own?.end();
  }
}

interface HowToRead {
  readonly signal?: AbortSignal | undefined;
  /** Past the page cache, if possible. */
  readonly bypass?: boolean;
  /** Told of bytes of blocks as they are asked of the disk. */
  readonly asks?: ((bytes: number) => void) | undefined;
}

export interface LoadRange extends HowToRead {
  readonly first?: number;
  readonly rows?: number;
  /** What reads the blocks of these rows next, if not this call itself; the caller ends it. */
  readonly ahead?: BlocksAhead | undefined;
}

/** Rows of a source. */
interface Range {
  readonly source: PanelSource;
  readonly first: number;
  readonly rows: number;
}

/** Reads of one piece that was asked for: the blocks of each matrix. */
type Read = Promise<Uint8Array[]>;

/**
 * Reads the blocks of the next pieces while a piece is split, of one source after the other: the
 * disk has work while the last pieces of the first are split.
 */
export class BlocksAhead {
  readonly #work: PanelWork;
  readonly #how: HowToRead;
  readonly #lane: number;
  readonly #asked: (() => void) | undefined;
  /** Pieces that were not asked for, in order. */
  readonly #pieces: Iterator<Range, undefined>;
  #coming: Range | undefined;
  /** Oldest first. */
  readonly #reads: Read[] = [];
  #begun = 0; // pieces

  /**
   * @param ranges of sources that splitsBlocks()
   * @param lane a number of its own for each that reads at the same time
   * @param asked called when the last piece was asked for
   */
  constructor(
    ranges: readonly Range[],
    work: PanelWork,
    { lane = 0, asked, ...how }: HowToRead & { readonly lane?: number; readonly asked?: (() => void) | undefined },
  ) {
    this.#work = work;
    this.#how = how;
    this.#lane = lane;
    this.#asked = asked;
    this.#pieces = piecesOf(ranges, work);
    this.#coming = this.#pieces.next().value;
  }

  /** The blocks of the next piece; they stay until the next call. */
  next(): Read {
    const places = Math.max(2, Math.floor(this.#work.aheadBytes / BLOCKS_PIECE));
    while (this.#coming !== undefined && this.#reads.length < places) {
      const read = this.#read(this.#coming, this.#begun++ % places);
      read.catch(() => {}); // reported when its turn comes
      this.#reads.push(read);
      this.#coming = this.#pieces.next().value;
      if (this.#coming === undefined) this.#asked?.();
    }
    return this.#reads.shift()!;
  }

  /** Waits for all reads: their memory is used again. */
  async end(): Promise<void> {
    await Promise.allSettled(this.#reads);
  }

  #read({ source: { layout, alternate }, first, rows: count }: Range, place: number): Read {
    const n = count / alternate.length;
    const { signal, bypass = false } = this.#how;
    return Promise.all(
      alternate.map(async (matrix, side) => {
        const row = first / alternate.length;
        const bytes = n * rowBlocks(layout.format, matrix.ggml!, layout.cols);
        const at = bypass ? (matrix.blocksAt?.(row) ?? null) : null;
        const name = `blocks ${this.#lane} ${place} ${side}`;
        const into = this.#memory(name, bytes, at === null ? null : at % RECORD_ALIGN);
        this.#how.asks?.(bytes);
        await matrix.readBlocks!(row, n, into, signal, at === null ? bypass : "pages");
        return into;
      }),
    );
  }

  /** Memory of so many bytes that begins `skipped` bytes behind a page's begin, in whole pages. */
  #memory(name: string, bytes: number, skipped: number | null): Uint8Array {
    if (skipped === null) return this.#work.memory(name, bytes);
    const whole = this.#work.memory(name, bytes + 3 * RECORD_ALIGN);
    const begin = (RECORD_ALIGN - (whole.byteOffset % RECORD_ALIGN)) % RECORD_ALIGN;
    return whole.subarray(begin + skipped, begin + skipped + bytes);
  }
}

/** The pieces of ranges, in order. */
function* piecesOf(ranges: readonly Range[], work: PanelWork): Generator<Range, undefined> {
  for (const { source, first, rows } of ranges) {
    const piece = pieceRows(source, work);
    for (let row = first; row < first + rows; row += piece)
      yield { source, first: row, rows: Math.min(piece, first + rows - row) };
  }
  return undefined;
}

async function makePanels(
  { layout, alternate }: PanelSource,
  work: PanelWork,
  row: number,
  count: number,
  panels: readonly Uint8Array[],
  blocks: readonly Uint8Array[] | undefined,
): Promise<void> {
  const { format, cols } = layout;
  const step = alternate.length;
  const n = count / step;
  // Rows of padding are zeros: weights without a scale.
  if (count % PANEL_ROWS !== 0)
    for (const [p, { rowBytes }] of layout.planes.entries())
      panels[p]!.fill(0, Math.floor(count / PANEL_ROWS) * PANEL_ROWS * rowBytes);
  if (blocks) {
    const planes = layout.planes.map(({ rowBytes }, p) => work.memory(`packed rows ${p}`, count * rowBytes));
    const sides = blocks.map((bytes, side) => ({ ggml: alternate[side]!.ggml!, bytes }));
    work.split(format, sides, count, cols, planes, panels);
    return;
  }
  for (const [side, source] of alternate.entries()) {
    const planes = layout.planes.map(({ rowBytes }, p) => work.memory(`packed rows ${p}`, n * rowBytes));
    if (!(await source.readPlanes?.(format, row / step, n, planes))) {
      if (!format.pack)
        throw new WeightsError(`${source.name} is not stored in ${format.name}, and nothing packs to it`);
      const { buffer, byteOffset } = work.memory("rows to pack", 4 * n * cols);
      const x = new Float32Array(buffer, byteOffset, n * cols);
      await source.readRows(row / step, n, x);
      work.pack(format, x, n, cols, planes, source.importance && held(source.importance, work));
    }
    work.weave(format, planes, n, side, step, panels);
  }
}

/** Importances where kernels can read them. */
function held(importance: Float32Array, work: PanelWork): Float32Array {
  const { buffer, byteOffset } = work.memory("importance", importance.byteLength);
  const copy = new Float32Array(buffer, byteOffset, importance.length);
  copy.set(importance);
  return copy;
}
