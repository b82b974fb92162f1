// Synthetic weights in formats whose groups are longer than those that synthetic.ts packs once:
// rows cut from one packed pool, because to pack a whole model takes minutes.

import type { Format } from "../src/tensor/format.ts";
import { GROUP, packRows, rowPlanes } from "../src/tensor/format.ts";
import type { ExpertSource, MatrixSource } from "../src/tensor/types.ts";
import type { OpenWeights } from "./synthetic.ts";

/** Weights of the pool: several times a row, and packed in a second. */
const POOL = 2 ** 18;

/**
 * The same model, whose matrices are random weights of the same size in formats of longer groups:
 * not those that readRows() gives.
 */
export function pooled({ architecture, sources, close }: OpenWeights): OpenWeights {
  const pools = new Map<string, readonly Uint8Array[]>();
  const matrix = (source: MatrixSource): MatrixSource => pooledMatrix(source, pools);
  const expert = ({ w1, w3, w2 }: ExpertSource) => ({ w1: matrix(w1), w3: matrix(w3), w2: matrix(w2) });
  const { embed, norm, head, layers } = sources;
  return {
    architecture,
    sources: {
      embed: matrix(embed),
      norm,
      head: head && matrix(head),
      layers: layers.map((layer) => ({
        ...layer,
        qkv: layer.qkv.map(matrix),
        wo: matrix(layer.wo),
        experts: layer.experts.map(expert),
        ffn: layer.ffn && { ...expert(layer.ffn), gate: layer.ffn.gate },
      })),
    },
    close,
  };
}

function pooledMatrix(source: MatrixSource, pools: Map<string, readonly Uint8Array[]>): MatrixSource {
  const { name, rows, cols } = source;
  return {
    name,
    rows,
    cols,
    readRows: (first, count, into) => source.readRows(first, count, into),
    async readPlanes(format, first, count, planes) {
      if (format.group === GROUP) return (await source.readPlanes?.(format, first, count, planes)) ?? false;
      if (!format.pack || cols % format.group !== 0) return false;
      const key = `${format.name} ${cols}`;
      let pool = pools.get(key);
      if (!pool) {
        pool = await pack(source, format);
        pools.set(key, pool);
      }
      for (const [p, plane] of planes.entries()) {
        const ring = pool[p]!;
        const { bytes } = format.planes[p]!;
        const each = (cols / format.group) * bytes;
        for (let r = 0; r < count; r++) {
          // Coprime to the number of groups, so that rows begin everywhere.
          const start = (((first + r) * 7919) % (ring.length / bytes)) * bytes;
          const run = Math.min(each, ring.length - start);
          plane.set(ring.subarray(start, start + run), r * each);
          for (let done = run; done < each; done += ring.length)
            plane.set(ring.subarray(0, Math.min(each - done, ring.length)), r * each + done);
        }
      }
      return true;
    },
  };
}

/** Packs as many of the matrix's own rows as the pool holds, one at least. */
async function pack(source: MatrixSource, format: Format): Promise<readonly Uint8Array[]> {
  const count = Math.min(Math.max(1, Math.floor(POOL / source.cols)), source.rows);
  const x = new Float32Array(count * source.cols);
  await source.readRows(0, count, x);
  const made = rowPlanes(format, count, source.cols);
  packRows(format, x, count, source.cols, made);
  return made;
}
