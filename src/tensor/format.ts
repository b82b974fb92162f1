// Weight formats: what a format is, and the layout of a packed matrix in panels of eight rows.

/** The arithmetic of products. f32 and f16 use activations as they are; int8 rounds them. */
export type Arithmetic = "f32" | "f16" | "int8";

/** One kind of a format's numbers: levels, scales, ... */
export interface Plane {
  readonly name: string;
  /** Bytes of one group of one row. */
  readonly bytes: number;
  /** Bytes that stay together when rows are woven into panels. Planes start at multiples of it. */
  readonly element: 2 | 4;
}

/**
 * A way to hold weights. Rows come in planes, row-major: row r of plane p takes groups * p.bytes
 * bytes. Columns are padded with zero weights to whole groups. All formats: kernels/formats.
 */
export interface Format {
  /** Its name in options and files, for example "q4". */
  readonly name: string;
  /** Columns of a group, the unit of planes. */
  readonly group: 32 | 64 | 256;
  /** In the order of a packed matrix's bytes. */
  readonly planes: readonly Plane[];
  /**
   * Of formats w = s (q - z) with planes of nibbles, f16 scales and zero points of a byte: columns
   * that share a scale and a zero point.
   */
  readonly affine?: number;
  /** The same of formats w = s (q - 8), without zero points. */
  readonly centered?: number;
  /** The arithmetics of its products; always includes f32. */
  readonly arithmetics: readonly Arithmetic[];
  /** Columns that share a scale, where they are fewer than those of int8 activations. */
  readonly scaleColumns?: 16;
  /** Unpacks one row to `into` [cols]. This is the definition of the format. */
  unpack(planes: readonly Uint8Array[], cols: number, into: Float32Array): void;
  /**
   * Packs one row [cols] with its padding. What `importance` [cols], above 0, gives more weight has
   * a smaller error; all count alike without it. Absent: such weights come from files only.
   */
  pack?(row: Float32Array, planes: readonly Uint8Array[], importance?: Float32Array): void;
  /** Its representation in GGUF files. */
  readonly ggml?: GgmlType;
  /** Other types of GGUF files that it holds, value for value. */
  readonly alsoGgml?: readonly GgmlType[];
}

/** How GGUF files hold weights: blocks of a type. */
export interface GgmlType {
  /** The type's number. */
  readonly type: number;
  /** Bytes that hold a whole group: of one block mostly. Differs among the types of a format. */
  readonly bytes: number;
  /** Bytes of a block, and the bits of them that are all set where a weight may not be finite. */
  readonly exponents: readonly (readonly [byte: number, bits: number])[];
  /** What split() looks up: an entry's weights as bits, as the format orders them. */
  readonly codebook?: Uint32Array;
  /**
   * Converts consecutive bytes of a row to groups of each plane. They may be one group or many, up
   * to the whole row. The last group may have fewer bytes, where the type's blocks are smaller than
   * the format's groups and the row ends in one: the rest of it becomes zero weights. `planes` hold
   * exactly those groups. Allocates nothing by the group.
   */
  split(blocks: Uint8Array, planes: readonly Uint8Array[]): void;
}

/** Columns that share a scale when activations are rounded to int8. */
export const GROUP = 32;
/** Rows of a panel: element j of row r is at [r / 8][j][r mod 8]. */
export const PANEL_ROWS = 8;

/** The layout of a packed matrix. Panel i of a plane is at offset + 8 i rowBytes. */
export interface PanelLayout {
  readonly format: Format;
  /** Rows with padding: whole panels. */
  readonly rows: number;
  readonly cols: number;
  /** Groups of format.group columns a row. */
  readonly groups: number;
  /** Columns with padding: groups * format.group. */
  readonly padded: number;
  readonly planes: readonly { readonly offset: number; readonly rowBytes: number }[];
  /** Bytes of all planes; a multiple of 16, like every offset. */
  readonly bytes: number;
}

/** The layout of a matrix [rows, cols] in panels. */
export function panelLayout(format: Format, rows: number, cols: number): PanelLayout {
  const groups = Math.ceil(cols / format.group);
  const whole = Math.ceil(rows / PANEL_ROWS) * PANEL_ROWS;
  let bytes = 0;
  const planes = format.planes.map((plane) => {
    const place = { offset: bytes, rowBytes: groups * plane.bytes };
    bytes += whole * place.rowBytes;
    return place;
  });
  return { format, rows: whole, cols, groups, padded: groups * format.group, planes, bytes };
}

/** Zeroed planes for `count` rows, row-major. */
export function rowPlanes(format: Format, count: number, cols: number): Uint8Array[] {
  const groups = Math.ceil(cols / format.group);
  return format.planes.map(({ bytes }) => new Uint8Array(count * groups * bytes));
}

/** Rows [first, first + count) of row-major planes that hold `rows`. */
export function rowsOfPlanes(
  planes: readonly Uint8Array[],
  rows: number,
  first: number,
  count: number,
): readonly Uint8Array[] {
  return planes.map((plane) => {
    const rowBytes = plane.length / rows;
    return plane.subarray(first * rowBytes, (first + count) * rowBytes);
  });
}

/**
 * Packs x [count, cols] into row-major planes of exactly those rows; `importance` [cols] as in
 * Format.pack().
 * @throws Error for a format that only files hold
 */
export function packRows(
  format: Format,
  x: Float32Array,
  count: number,
  cols: number,
  planes: readonly Uint8Array[],
  importance?: Float32Array,
): void {
  if (!format.pack) throw new Error(`weights cannot be packed to ${format.name}`);
  for (let r = 0; r < count; r++)
    format.pack(x.subarray(r * cols, (r + 1) * cols), rowsOfPlanes(planes, count, r, 1), importance);
}

/** The types of GGUF files that a format holds. */
export function ggmlTypes({ ggml, alsoGgml = [] }: Format): readonly GgmlType[] {
  return ggml ? [ggml, ...alsoGgml] : [];
}

/** Bytes of a row in a GGUF file. @param ggml one of the format's types */
export function rowBlocks({ group }: Format, ggml: GgmlType, cols: number): number {
  return (cols * ggml.bytes) / group;
}

/**
 * Splits `count` rows of blocks into row-major planes of exactly those rows.
 * @param ggml one of the format's types
 */
export function splitRows(
  format: Format,
  ggml: GgmlType,
  blocks: Uint8Array,
  count: number,
  cols: number,
  planes: readonly Uint8Array[],
): void {
  const rowBytes = rowBlocks(format, ggml, cols);
  // Rows of whole groups follow each other like groups.
  const [runs, n] = rowBytes % ggml.bytes === 0 ? [1, count] : [count, 1];
  for (let i = 0; i < runs; i++)
    ggml.split(blocks.subarray(i * n * rowBytes, (i + 1) * n * rowBytes), rowsOfPlanes(planes, count, i * n, n));
}

/** Unpacks row-major planes of `count` rows to f32 [count, cols]. */
export function unpackRows(
  format: Format,
  planes: readonly Uint8Array[],
  count: number,
  cols: number,
  into: Float32Array,
): void {
  for (let r = 0; r < count; r++)
    format.unpack(rowsOfPlanes(planes, count, r, 1), cols, into.subarray(r * cols, (r + 1) * cols));
}
