// A source of weights whose matrices may be quantized: families ask for `x.weight` [out, in],
// whatever tensors stand for it. A tensor that is not quantized is read as it is.

import { formatOf } from "../../../kernels/formats/index.ts";
import { WeightsError } from "../../errors.ts";
import { Kept } from "../../tensor/kept.ts";
import type { MatrixSource, WeightSource } from "../../tensor/types.ts";
import type { Levels } from "./affine.ts";
import { packingOf } from "./config.ts";
import type { Packing, Parts } from "./packing.ts";

const WEIGHT = ".weight";
/** The most bytes of turned matrices: the two of an expert that are loaded together, and more. */
const KEPT = 128 * 2 ** 20;

/**
 * The source as `config` says that it is quantized (config.json). One that is quantized in a way
 * that is not supported refuses every use, so that the folder can be inspected all the same.
 * @param where names config.json in messages
 */
export function quantizedSource(source: WeightSource, config: unknown, where: string): WeightSource {
  try {
    const packing = packingOf(config, where);
    return packing ? unpacking(source, packing) : source;
  } catch (error) {
    if (!(error instanceof WeightsError)) throw error;
    const refuse = (): never => {
      throw error;
    };
    return { label: source.label, has: refuse, names: refuse, shape: refuse, matrix: refuse };
  }
}

function unpacking(source: WeightSource, packing: Packing): WeightSource {
  const { endings } = packing;
  const [mark] = endings;
  const kept = new Kept<Levels>(KEPT);
  const taken = new Set<string>();

  /** `x` of a quantized `x.weight`, or null. */
  const baseOf = (name: string): string | null => {
    const base = name.endsWith(WEIGHT) ? name.slice(0, -WEIGHT.length) : null;
    return base !== null && source.has(base + mark) ? base : null;
  };
  const partsOf = (base: string): Parts => ({
    name: base + WEIGHT,
    has: (ending) => source.has(base + ending),
    get: (ending) => source.stored!(base + ending),
    isTaken: (ending) => taken.has(base + ending),
  });

  return {
    ...source,
    has: (name) => baseOf(name) !== null || source.has(name),
    *names() {
      for (const name of source.names()) {
        const ending = endings.find((end) => name.endsWith(end) && source.has(name.slice(0, -end.length) + mark));
        if (ending === undefined) yield name;
        else if (ending === mark) yield name.slice(0, -mark.length) + WEIGHT;
      }
    },
    shape(name) {
      const base = baseOf(name);
      return base === null ? source.shape(name) : packing.shape(partsOf(base));
    },
    matrix(name, first, rows) {
      taken.add(name);
      const base = baseOf(name);
      if (base === null) return asStored(source.matrix(name, first, rows));
      const whole = packing.matrix(partsOf(base), kept);
      return first === undefined ? whole : someRows(whole, first, rows ?? whole.rows - first);
    },
  };
}

/** In the format of its dtype: what a quantized checkpoint leaves as it was stays so. */
function asStored(matrix: MatrixSource): MatrixSource {
  const { name, rows, cols, dtype } = matrix;
  return {
    ...{ name, rows, cols, format: formatOf(dtype!.toLowerCase()) },
    readRows: (first, count, into) => matrix.readRows(first, count, into),
    readPlanes: async (...range) => (await matrix.readPlanes?.(...range)) ?? false,
  };
}

/** Rows of a matrix as a matrix. */
function someRows(whole: MatrixSource, start: number, rows: number): MatrixSource {
  if (start < 0 || rows < 0 || start + rows > whole.rows)
    throw new RangeError(`rows ${start} to ${start + rows} of ${whole.name}, which has ${whole.rows}`);
  const check = (first: number, count: number) => {
    if (first < 0 || count < 0 || first + count > rows)
      throw new RangeError(`rows ${first} to ${first + count} of ${rows} of ${whole.name}`);
  };
  const { settle, ...known } = whole;
  return {
    ...known,
    rows,
    ...(settle && { settle: async () => someRows(await settle(), start, rows) }),
    async readRows(first, count, into) {
      check(first, count);
      await whole.readRows(start + first, count, into);
    },
    ...(whole.readPlanes && {
      async readPlanes(format, first, count, planes) {
        check(first, count);
        return whole.readPlanes!(format, start + first, count, planes);
      },
    }),
  };
}
