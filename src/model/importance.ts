// How much each input of a matrix counts: the mean of its squares over a text. An error of a
// weight is multiplied with its input, so that the error of a product is the weights' errors,
// each by this.

import type { Observer } from "../backend/ops.ts";
import type { MatrixSource } from "../tensor/types.ts";
import type { FfnSource, LatentSources, LayerSources, ModelSources } from "./family.ts";

/**
 * An expert that few tokens reach is taken for the layer's mean, as if so many reached that too.
 */
const SHARED_TOKENS = 64;
/** The same for w2, whose inputs are an expert's own: for their mean. */
const OWN_TOKENS = 4;
/** Of the mean: no input counts less, because another text may use it. */
const LEAST = 1e-3;

/** Sums of squares by column, and the rows they are of. */
class Squares {
  rows = 0;
  readonly sums: Float64Array;

  constructor(cols: number) {
    this.sums = new Float64Array(cols);
  }

  /** Adds rows [n, cols]; of a row with `factors`, that many times its values. */
  add(x: Float32Array, factors?: Float32Array): void {
    const cols = this.sums.length;
    const rows = x.length / cols;
    for (let r = 0; r < rows; r++) {
      const factor = factors ? factors[r]! : 1;
      for (let c = 0; c < cols; c++) this.sums[c]! += (factor * x[r * cols + c]!) ** 2;
    }
    this.rows += rows;
  }

  /** Means, drawn to `others` as if `count` rows had these; 1 on average. */
  means(others: Float64Array, count: number): Float32Array {
    const means = this.sums.map((sum, c) => (sum + count * others[c]!) / (this.rows + count));
    const average = means.reduce((a, b) => a + b, 0) / means.length;
    return Float32Array.from(means, (mean) => (average > 0 ? Math.max(LEAST, mean / average) : 1));
  }
}

/** Collects the inputs of a model's matrices while it runs. */
export class Importance implements Observer {
  readonly #matrices = new Map<string, Squares>();
  readonly #up = new Map<string, Squares>();
  readonly #down = new Map<string, Squares>();
  readonly #layers = new Map<number, Squares>();

  input(matrix: string, cols: number, x: Float32Array): void {
    // q, k and v may be one matrix, named by all three.
    for (const name of matrix.split(", ")) squaresOf(this.#matrices, name, cols).add(x);
  }

  expert(layer: number, expert: number, x: Float32Array, hidden: Float32Array, shares: Float32Array): void {
    const n = shares.length;
    squaresOf(this.#up, `${layer} ${expert}`, x.length / n).add(x);
    squaresOf(this.#layers, layer, x.length / n).add(x);
    squaresOf(this.#down, `${layer} ${expert}`, hidden.length / n).add(hidden, shares);
  }

  /** The sources, each with the importance of its columns where the text says it. */
  apply(sources: ModelSources): ModelSources {
    const known = (source: MatrixSource, name = source.name): MatrixSource => {
      const squares = this.#matrices.get(name);
      return squares ? weighed(source, squares.means(squares.sums, 0)) : source;
    };
    // Backends name what w1 and w3 are multiplied with by w1.
    const ffn = ({ w1, w3, w2 }: FfnSource) => ({ w1: known(w1), w3: known(w3, w1.name), w2: known(w2) });
    // Not the matrices of heads: what they are multiplied with is not shown.
    const latent = ({ q, low, kv, ...rest }: LatentSources): LatentSources => {
      return { ...rest, q: known(q), low: low && { ...low, b: known(low.b) }, kv: known(kv) };
    };
    return {
      ...sources,
      head: sources.head && known(sources.head),
      layers: numbered(sources.layers).map(({ layer, i }) => ({
        ...layer,
        qkv: layer.qkv.map((part) => known(part)),
        ...(layer.latent && { latent: latent(layer.latent) }),
        wo: known(layer.wo),
        ...(layer.outGate && { outGate: known(layer.outGate) }),
        experts: layer.experts.map((expert, e) => {
          const { w1, w3, w2 } = expert;
          const all = this.#layers.get(i);
          if (!all) return expert;
          const shared = all.sums.map((sum) => sum / all.rows);
          const up = squaresOf(this.#up, `${i} ${e}`, w1.cols).means(shared, SHARED_TOKENS);
          const own = squaresOf(this.#down, `${i} ${e}`, w2.cols);
          const mean = own.sums.reduce((a, b) => a + b, 0) / Math.max(1, own.rows) / w2.cols;
          const down = own.means(new Float64Array(w2.cols).fill(mean), OWN_TOKENS);
          return { w1: weighed(w1, up), w3: weighed(w3, up), w2: weighed(w2, down) };
        }),
        ffn: layer.ffn && { ...layer.ffn, ...ffn(layer.ffn) },
      })),
    };
  }
}

/** Layers with their numbers among those that have experts. */
function numbered(layers: readonly LayerSources[]) {
  let next = 0;
  return layers.map((layer) => ({ layer, i: layer.experts.length > 0 ? next++ : next }));
}

function squaresOf<Key>(map: Map<Key, Squares>, key: Key, cols: number): Squares {
  const found = map.get(key) ?? new Squares(cols);
  map.set(key, found);
  return found;
}

/** The same source, which packs with an importance. */
function weighed(source: MatrixSource, importance: Float32Array): MatrixSource {
  const { name, rows, cols, dtype, format, order, ggml, bias } = source;
  return {
    name,
    rows,
    cols,
    importance,
    ...(dtype && { dtype }),
    ...(format && { format }),
    ...(order && { order }),
    ...(ggml && { ggml }),
    ...(bias && { bias }),
    readRows: (first, count, into) => source.readRows(first, count, into),
    ...(source.readPlanes && { readPlanes: source.readPlanes.bind(source) }),
    ...(source.readBlocks && { readBlocks: source.readBlocks.bind(source) }),
    ...(source.blocksAt && { blocksAt: source.blocksAt.bind(source) }),
  };
}
