// The fixture of a GPTQ model, taken apart weight by weight, and the same model with the inputs of
// its matrices in other orders.

import type { StoredTensor } from "../../src/tensor/types.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import type { TensorSpec } from "../weights/memory_files.ts";
import type { Affine } from "./pack_words.ts";
import { generator } from "./random.ts";

/** Name of a matrix -> what it holds; and the tensors of others. */
export interface Content {
  readonly matrices: Map<string, Affine>;
  readonly others: Record<string, TensorSpec>;
}

/** A GPTQ folder, version 1, taken apart weight by weight. */
export async function contentOf(path: string): Promise<Content> {
  const folder = await openFolder(await nodeFiles(path));
  const { source, headers } = folder;
  const read = async ({ bytes, read }: StoredTensor) => {
    const data = new Uint8Array(bytes);
    await read(0, data);
    return data.buffer;
  };
  const content: Content = { matrices: new Map(), others: {} };
  for (const name of headers.flatMap(({ tensors }) => [...tensors.keys()])) {
    if (/\.(qzeros|scales|g_idx)$/.test(name)) continue;
    const tensor = source.stored!(name);
    const base = name.replace(/\.qweight$/, "");
    if (base === name) {
      const { dtype, shape } = tensor;
      content.others[name] = { dtype, shape, data: new Uint8Array(await read(tensor)) };
      continue;
    }
    const [rows, cols] = [tensor.shape[1]!, tensor.shape[0]! * 8];
    const [words, points, scales, group] = await Promise.all(
      [tensor, ...["qzeros", "scales", "g_idx"].map((part) => source.stored!(`${base}.${part}`))].map(read),
    );
    const [q, z, s] = [new Uint32Array(words!), new Uint32Array(points!), new Uint16Array(scales!)];
    const groups = s.length / rows;
    content.matrices.set(base, {
      rows,
      cols,
      groups,
      q: Uint8Array.from({ length: rows * cols }, (_, i) => {
        const [r, c] = [Math.floor(i / cols), i % cols];
        return (q[(c >> 3) * rows + r]! >>> (4 * (c % 8))) & 15;
      }),
      z: Uint8Array.from({ length: rows * groups }, (_, i) => {
        const [r, g] = [Math.floor(i / groups), i % groups];
        return ((z[(g * rows + r) >> 3]! >>> (4 * (r % 8))) & 15) + 1;
      }),
      s: Uint16Array.from({ length: rows * groups }, (_, i) => s[(i % groups) * rows + Math.floor(i / groups)]!),
      group: new Int32Array(group!),
    });
  }
  await folder.close();
  return content;
}

/** Every group as `parts` groups. */
export function split(m: Affine, parts: number): Affine {
  const many = { length: m.z.length * parts };
  const of = (i: number) => Math.floor(i / parts);
  const groups = m.groups * parts;
  return {
    ...m,
    groups,
    z: Uint8Array.from(many, (_, i) => m.z[of(i)]!),
    s: Uint16Array.from(many, (_, i) => m.s[of(i)]!),
    group: m.group.map((_, i) => Math.floor((i * groups) / m.cols)),
  };
}

function rowsMoved(m: Affine, order: readonly number[]): Affine {
  const move = <T extends Uint8Array | Uint16Array>(from: T, width: number): T => {
    const to = from.slice() as T;
    for (const [r, old] of order.entries()) to.set(from.subarray(old * width, (old + 1) * width), r * width);
    return to;
  };
  return { ...m, q: move(m.q, m.cols), z: move(m.z, m.groups), s: move(m.s, m.groups) };
}

function columnsMoved(m: Affine, order: readonly number[]): Affine {
  const q = m.q.map((_, i) => m.q[Math.floor(i / m.cols) * m.cols + order[i % m.cols]!]!);
  return { ...m, q, group: Int32Array.from(order, (old) => m.group[old]!) };
}

function shuffled(n: number, next: () => number): number[] {
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** The same model with the inner values of its experts in another order: groups of w2's inputs. */
export function innerMoved(matrices: ReadonlyMap<string, Affine>): Map<string, Affine> {
  const next = generator(7);
  const moved = new Map(matrices);
  for (const [name, w2] of matrices) {
    if (!name.endsWith(".w2")) continue;
    const order = shuffled(w2.cols, next);
    moved.set(name, columnsMoved(w2, order));
    for (const up of ["w1", "w3"]) {
      const base = name.replace(/w2$/, up);
      moved.set(base, rowsMoved(matrices.get(base)!, order));
    }
  }
  return moved;
}

/**
 * Groups of 32 in any order, where equal scales and zero points allow it: those that split() made
 * of one. Matrices with one `key` get one order.
 */
export function regrouped(matrices: ReadonlyMap<string, Affine>, key: (name: string) => string): Map<string, Affine> {
  const orders = new Map<string, Int32Array>();
  return new Map(
    [...matrices].map(([name, whole]) => {
      const m = split(whole, 4);
      const wide = m.cols / whole.groups; // columns of a group that was split
      let group = orders.get(key(name));
      if (!group) {
        const next = generator(orders.size + 11);
        group = new Int32Array(m.cols);
        for (let at = 0; at < m.cols; at += wide)
          for (const [i, place] of shuffled(wide, next).entries())
            group[at + i] = m.group[at]! + Math.floor((4 * place) / wide);
        orders.set(key(name), group);
      }
      return [name, { ...m, group }];
    }),
  );
}

/** An order for q, k and v of a layer, and one for w1 and w3 of each expert, as GPTQ has them. */
export const BY_INPUTS = (name: string): string => name.replace(/\.(q|k|v)_proj$/, ".qkv").replace(/\.w[13]$/, ".w13");
