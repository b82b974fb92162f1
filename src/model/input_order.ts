// Matrices whose inputs are in an order of their own: what makes the order right, and free where it
// can be.
//
// The matrix of a format of groups may have its columns sorted by group (MatrixSource.order). What
// it is multiplied with has to be in that order. The inner values of an expert have no order that
// anything else sees: rows of w1 and w3 are moved to where w2 wants them. For q, k and v, for w1
// and w3 of each expert, for o and the head, rows of activations are put in order (Ops.reorder()).

import type { InputOrder, Ops } from "../backend/ops.ts";
import { WeightsError } from "../errors.ts";
import { type Format, rowsOfPlanes } from "../tensor/format.ts";
import type { ExpertSource, MatrixSource, StoredBytes, Tensor } from "../tensor/types.ts";
import type { LayerSources, ModelSources } from "./family.ts";
import { expertShape, type FormatPlan, ffnFormats, joinedQkv } from "./formats.ts";
import { settleLatent } from "./latent.ts";

type Order = Uint32Array | undefined;

/**
 * The sources with all orders known. Where matrices of the same inputs want them in different
 * orders, which no quantizer makes, those that have one are held as f32.
 * @throws WeightsError
 */
export async function settleSources(sources: ModelSources): Promise<ModelSources> {
  const { head, layers } = sources;
  const settled: LayerSources[] = [];
  for (const { qkv, wo, outGate, experts, ffn, latent, ...layer } of layers)
    settled.push({
      ...layer,
      ...(outGate && { outGate: (await outGate.settle?.()) ?? outGate }),
      ...(latent && { latent: await settleLatent(latent) }),
      qkv: await together(qkv),
      wo: (await wo.settle?.()) ?? wo,
      experts: await Promise.all(experts.map(settleExpert)),
      ffn: ffn && { ...(await settleExpert(ffn)), gate: ffn.gate },
    });
  return { ...sources, head: (await head?.settle?.()) ?? head, layers: settled };
}

async function settleExpert(expert: ExpertSource): Promise<ExpertSource> {
  const [[w1, w3], w2] = await Promise.all([together([expert.w1, expert.w3]), expert.w2.settle?.() ?? expert.w2]);
  const { order } = w2;
  if (w1 === expert.w1 && w3 === expert.w3 && w2 === expert.w2) return expert;
  const { w13, ...apart } = expert;
  if (!order) return { ...apart, w1: w1!, w3: w3!, w2 };
  return { ...apart, w1: moveRows(w1!, order), w3: moveRows(w3!, order), w2: moveColumns(w2, order) };
}

/** Matrices of the same inputs, which have one order. */
async function together(matrices: readonly MatrixSource[]): Promise<readonly MatrixSource[]> {
  const settled = await Promise.all(matrices.map((matrix) => matrix.settle?.() ?? matrix));
  const order = settled[0]?.order;
  if (!settled.every((other) => equal(other.order, order))) return matrices;
  return settled.map((matrix) => (order ? { ...matrix, order } : matrix)); // one array
}

function equal(a: Order, b: Order): boolean {
  return a === b || (a !== undefined && b !== undefined && a.every((column, i) => b[i] === column));
}

/** The same matrix with row order[i] as row i. */
function moveRows(source: MatrixSource, order: Uint32Array): MatrixSource {
  const { name, rows, cols, dtype, format } = source;
  return {
    name,
    rows,
    cols,
    ...(dtype && { dtype }),
    ...(format && { format }),
    ...(source.order && { order: source.order }),
    async readRows(first, count, into) {
      for (let r = 0; r < count; r++)
        await source.readRows(order[first + r]!, 1, into.subarray(r * cols, (r + 1) * cols));
    },
    ...(source.readPlanes && {
      async readPlanes(wanted: Format, first: number, count: number, planes: readonly Uint8Array[]) {
        for (let r = 0; r < count; r++) {
          const row = rowsOfPlanes(planes, count, r, 1);
          if (!(await source.readPlanes!(wanted, order[first + r]!, 1, row))) return false;
        }
        return true;
      },
    }),
  };
}

/** The same matrix with column order[i] as column i, as its planes have them. */
export function moveColumns(source: MatrixSource, order: Uint32Array): MatrixSource {
  const { order: _, ...rest } = source;
  return {
    ...rest,
    async readRows(first, count, into) {
      await source.readRows(first, count, into);
      for (let at = 0; at < into.length; at += order.length) {
        const row = into.slice(at, at + order.length);
        for (let i = 0; i < order.length; i++) into[at + i] = row[order[i]!]!;
      }
    },
  };
}

/**
 * A matrix whose format has its columns in an order that `read` reads: column i of `sorted` is
 * column order[i].
 */
export function inReadOrder(sorted: MatrixSource, read: () => Promise<Uint32Array>): MatrixSource {
  const { name, rows, cols, format, bias } = sorted;
  const settle = async (): Promise<MatrixSource> => {
    const order = await read();
    return {
      ...sorted,
      order,
      async readRows(first, count, into) {
        await sorted.readRows(first, count, into);
        for (let at = 0; at < into.length; at += cols) {
          const row = into.slice(at, at + cols);
          for (let i = 0; i < cols; i++) into[at + order[i]!] = row[i]!;
        }
      },
    };
  };
  const readRows: MatrixSource["readRows"] = async (...range) => (await settle()).readRows(...range);
  return { name, rows, cols, ...(format && { format }), ...(bias && { bias }), readRows, settle };
}

/** The order in which a matrix takes its inputs when it is held in a format. */
export function orderIn({ order, format }: MatrixSource, held: Format): Order {
  return format === held ? order : undefined;
}

/** Rows as a matrix with this order takes them. */
export function inOrder(ops: Ops, x: Tensor, order: InputOrder | null): Tensor {
  return order ? ops.reorder(x, order) : x;
}

/** One order on the backend, or null. */
export async function loadOrder(ops: Ops, order: Order): Promise<InputOrder | null> {
  return order ? ops.loadOrder(Uint32Array.from(order), order.length) : null;
}

/** Those of w1 and w3 of all experts of a layer, which are held in `up`; null: none has one. */
export function expertOrders(experts: readonly ExpertSource[], up: Format): Uint32Array<ArrayBuffer> | null {
  const orders = experts.map(({ w1 }) => orderIn(w1, up));
  if (orders.every((order) => order === undefined)) return null; // nor where there are no experts
  const { cols } = experts[0]!.w1;
  const lists = new Uint32Array(experts.length * cols);
  for (const [e, order] of orders.entries())
    lists.set(order ?? Uint32Array.from({ length: cols }, (_, i) => i), e * cols);
  return lists;
}

/** Bytes of all orders on the backend. */
export function orderBytes({ head, layers }: ModelSources, plan: FormatPlan): number {
  const of = (order: Order | null): number => 4 * (order?.length ?? 0);
  const layer = ({ qkv, wo, outGate, experts, ffn }: LayerSources, i: number): number => {
    const up = experts.length > 0 ? expertShape({ experts }, plan, i).up : null;
    const shared = ffn && orderIn(ffn.w1, ffnFormats(ffn, plan, i).up);
    const [q] = joinedQkv({ qkv }, plan, i);
    const gate = outGate && orderIn(outGate, plan(outGate, "outGate", i));
    const all = up && experts.some(({ w1 }) => orderIn(w1, up)) ? 4 * experts.length * experts[0]!.w1.cols : 0;
    const first = of(q && orderIn(q.source, q.format));
    return first + of(orderIn(wo, plan(wo, "o", i))) + of(gate) + of(shared) + all;
  };
  return layers.reduce((sum, one, i) => sum + layer(one, i), of(head && orderIn(head, plan(head, "head", -1))));
}

/**
 * Reads the orders of `cols` inputs that a packed folder has.
 * @throws WeightsError for one that is no order of all inputs
 */
export async function readOrders(name: string, stored: StoredBytes, cols: number): Promise<Uint32Array> {
  const lists = new Uint32Array(stored.bytes / 4);
  await stored.read(0, new Uint8Array(lists.buffer));
  const seen = new Uint32Array(cols); // the last list that had a column, from 1 on
  for (const [i, column] of lists.entries()) {
    const list = Math.floor(i / cols) + 1;
    if (column >= cols || seen[column] === list)
      throw new WeightsError(
        `${name}: expected an order of ${cols} inputs, found ${column}${column < cols ? " twice" : ""} at element ${i}; the file is damaged: quantize the original again`,
      );
    seen[column] = list;
  }
  return lists;
}
