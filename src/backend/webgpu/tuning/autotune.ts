// Finds the fastest variant of the kernels for few rows on this adapter, on the weights that were
// loaded; remembers it.
//
// Every candidate is first compared with the plain variant (f32, reduced by a tree) on the
// same inputs. One that does not compile, or computes something else on this device, is left
// out, whatever its speed. Where time runs out, the usual variant stays, compared with the
// plain one too, and that is remembered: an adapter that is slow to compile must not take the
// time at every start.

import { DeviceError } from "../../../errors.ts";
import type { Buffer, Device } from "../device/device.ts";
import type { Call } from "../dispatch/commands.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import { VariantError } from "../dispatch/pipelines.ts";
import type { Arithmetic } from "../dispatch/shader.ts";
import type { KernelName } from "../dispatch/table.ts";
import type { GpuSlots } from "../weights/slots.ts";
import type { GpuExperts, GpuMatrix, WeightKind } from "../weights/space.ts";
import { type MatvecInput, matvecCalls } from "./matvec.ts";
import { TILES, type TileName, tileCalls } from "./tiles.ts";
import { fillTransit, nmse, Trial } from "./trial.ts";
import { type ExpertVariants, kindOf, type MatvecVariant, type Tuning, takeInt8 } from "./tuning.ts";

/**
 * Keeps small texts from run to run: a file in Node, local storage in a page. Both
 * may fail silently.
 */
export interface TuningStore {
  read(name: string): Promise<string | null>;
  write(name: string, text: string): Promise<void>;
}

export interface AutotuneContext {
  readonly device: Device;
  readonly encoder: StepEncoder;
  readonly tuning: Tuning;
  /** What the model has: kernels are timed on it. */
  readonly matrices: readonly GpuMatrix[];
  readonly experts: readonly GpuExperts[];
  /** Experts in slots. */
  readonly slots: readonly GpuSlots[];
  /** The adapter's name in the store. */
  readonly adapter: string;
  /** Whether products for many rows are timed too: on anything but a software adapter. */
  readonly tiles: boolean;
  /** Called for each variant that was left out, with the reason. */
  leftOut(why: string): void;
}

/** Changes when kernels do: what was measured of older ones is measured again. */
const VERSION = 4;
/** Rows of activations that tiles are timed on. */
const TILE_ROWS = 256;
/** How many of those rows are compared. */
const COMPARED_ROWS = 16;
/** Milliseconds that finding out may take. */
const BUDGET = { gpu: 10_000, software: 5000 } as const;
/** Matrices that a timing goes around, so that it does not measure the caches. */
const MOST_MATRICES = 16;
/** Largest NMSE against the f32 variant. */
const TOLERANCE: Readonly<Record<Arithmetic, number>> = { f32: 1e-8, f16: 1e-5, int8: 5e-4 };

type Found = MatvecVariant | ExpertVariants | TileName;

/** A problem: one shape of matrix, or of a layer's experts. */
interface Problem {
  readonly key: string;
  readonly find: () => Promise<Found | null>;
  readonly usual: Found;
  readonly use: (found: Found) => void;
}

/** Chooses variants for every shape of weights that was loaded. @throws DeviceError */
export async function autotune(context: AutotuneContext, store: TuningStore | null): Promise<void> {
  const { tuning } = context;
  const name = `tuning ${VERSION} ${context.adapter} ${tuning.abilities.arithmetics} ${tuning.abilities.subgroup}`;
  const known = parse(await store?.read(name));
  const until = performance.now() + BUDGET[context.tiles ? "gpu" : "software"];
  let learned = false;
  for (const { key, find, usual, use } of problems(context, until)) {
    const found = known[key] ?? (await find()) ?? usual;
    use(found);
    learned ||= known[key] === undefined;
    known[key] = found;
  }
  if (learned) await store?.write(name, JSON.stringify(known));
}

function parse(text: string | null | undefined): Record<string, Found> {
  let stored: unknown;
  try {
    stored = JSON.parse(text ?? "");
  } catch {
    return {}; // nothing, or half a file: measure again
  }
  if (typeof stored !== "object" || stored === null) return {};
  return Object.fromEntries(Object.entries(stored).filter(([, found]) => isFound(found)));
}

/**
 * Whether something stored is a variant, a layer's variants or a tile: the file may hold anything.
 */
function isFound(x: unknown): x is Found {
  if (typeof x === "string") return x in TILES;
  if (typeof x !== "object" || x === null) return false;
  const { up, down, arithmetic, reduce, threads, teams, atOnce } = x as Partial<ExpertVariants & MatvecVariant>;
  if (up !== undefined) return isFound(up) && isFound(down);
  const size = (n: unknown): boolean => typeof n === "number" && [1, 2, 4, 8, 16, 32, 64, 128, 256].includes(n);
  const known = ["f32", "f16", "int8"].includes(String(arithmetic)) && ["tree", "subgroups"].includes(String(reduce));
  return known && [threads, teams, atOnce].every(size);
}

function problems(context: AutotuneContext, until: number): Problem[] {
  const { tuning, matrices } = context;
  const found = new Map<string, Problem>();
  // The slots may hold anything now. Variants are compared on the last experts of a problem: on
  // transit slots, once filled.
  const experts = [...context.experts, ...context.slots.flatMap((slots) => [slots.ofLayer(0), slots.inTransit])];
  for (const { w13, w2 } of experts) {
    const kinds = `${kindOf(w13)} ${kindOf(w2)}`;
    const key = `experts ${kinds} ${w13.parts.length}`;
    const alike = experts.filter((e) => `${kindOf(e.w13)} ${kindOf(e.w2)}` === kinds);
    found.set(key, {
      key,
      find: () => {
        for (const slots of context.slots) fillTransit(slots);
        return new Bench(context, until).experts(alike, tuning.experts(w13, w2));
      },
      usual: tuning.experts(w13, w2),
      use: (variants) => tuning.setExperts(w13, w2, variants as ExpertVariants),
    });
  }
  for (const matrix of matrices) {
    // the routers: small
    if (matrix.format.name === "f32" && matrices.some((m) => m.format.name !== "f32")) continue;
    const key = `matrix ${kindOf(matrix)}`;
    const alike = matrices.filter((m) => kindOf(m) === kindOf(matrix));
    found.set(key, {
      key,
      find: () => new Bench(context, until).matrix(alike, tuning.matvec(matrix)),
      usual: tuning.matvec(matrix),
      use: (variant) => tuning.setMatvec(matrix, variant as MatvecVariant),
    });
  }
  // A square one, near enough: neither a router nor a head with the whole vocabulary.
  const squareness = ({ rows, cols }: GpuMatrix): number => Math.min(rows / cols, cols / rows);
  const square = [...matrices].sort((a, b) => squareness(b) - squareness(a))[0];
  if (square && context.tiles)
    found.set("tile", {
      key: `tile ${square.format.name}`,
      find: () => new Bench(context, until).tile(square),
      usual: tuning.tile,
      use: (tile) => {
        tuning.tile = tile as TileName;
      },
    });
  return [...found.values()];
}

/** Times variants of one problem; frees what it needed for it. */
class Bench extends Trial {
  readonly #context: AutotuneContext;
  readonly #until: number;

  constructor(context: AutotuneContext, until: number) {
    super(context);
    this.#context = context;
    this.#until = until;
  }

  async matrix(alike: readonly GpuMatrix[], usual: MatvecVariant): Promise<MatvecVariant | null> {
    const { encoder } = this.#context;
    const first = alike[0]!;
    const some = alike.slice(-MOST_MATRICES); // the first are embeddings, of which one row is read
    const rows = Math.max(...some.map((m) => m.rows));
    const x = this.random(first.groups * 32, first.cols);
    const y = this.buffer(rows * 4);
    const input = { x, norm: null, D: first.cols, eps: 0, key: "" };
    const calls = (variant: MatvecVariant): Call[] =>
      some.flatMap((w) =>
        matvecCalls(encoder, "matmul_vec", w, { ...input, ...variant }, { y_stride: rows, ADD: 0 }, { y }),
      );
    try {
      const out = { y, size: some.at(-1)!.rows, usual };
      const best = await this.#best("matmul_vec", first, ["f32", "f16"], calls, out);
      return best?.variant ?? null;
    } finally {
      this.free();
    }
  }

  async experts(alike: readonly GpuExperts[], usual: ExpertVariants): Promise<ExpertVariants | null> {
    const { encoder } = this.#context;
    const first = alike[0]!;
    const { w13: up, w2: down, hidden: D, intermediate: F } = first;
    const some = alike.slice(-MOST_MATRICES);
    const K = Math.min(2, ...some.map(({ count }) => count));
    const ids = this.filled(Uint32Array.from({ length: K }, (_, k) => k));
    const weights = this.filled(new Float32Array(K).fill(1 / K));
    const x = this.random(up.groups * 32, D);
    const y = this.buffer(D * 4);
    const finders = (int8: boolean) => {
      const stride = down.groups * (int8 ? 9 : 32);
      const act = this.buffer(K * stride * 4);
      const from = int8 ? this.rounded(x, "int8", up.groups, D) : x;
      const input: Omit<MatvecInput, keyof MatvecVariant> = { x: from, norm: null, D, eps: 0, key: "" };
      const ups = (variant: MatvecVariant) =>
        some.flatMap((e) =>
          matvecCalls(
            encoder,
            "expert_up_vec",
            e.w13,
            { ...input, ...variant },
            { E: e.count, K, y_stride: stride },
            { ids, y: act },
          ),
        );
      const downs = (variant: MatvecVariant) =>
        some.flatMap((e) =>
          matvecCalls(
            encoder,
            "expert_down_vec",
            e.w2,
            { ...input, x: act, D: F, ...variant },
            { E: e.count, K, y_stride: D, ADD: 0 },
            { ids, weights, y },
          ),
        );
      return { act, ups, downs, words: K * stride };
    };
    try {
      const float = finders(false);
      const floats: Arithmetic[] = ["f32", "f16"];
      const outs = {
        up: { y: float.act, size: float.words, usual: usual.up },
        down: { y, size: D, usual: usual.down },
      };
      const bestUp = await this.#best("expert_up_vec", up, floats, float.ups, outs.up);
      const bestDown = await this.#best("expert_down_vec", down, floats, float.downs, outs.down);
      const variants = bestUp && bestDown ? { up: bestUp.variant, down: bestDown.variant } : null;
      if (!this.#context.tuning.abilities.arithmetics.includes("int8") || !takeInt8(up, down)) return variants;
      const rounded = finders(true);
      // Rounded activations cannot be compared; the outputs of the second matrix can.
      const fastUp = await this.#best("expert_up_vec", up, ["int8"], rounded.ups, null, 8);
      const fastDown = fastUp && (await this.#best("expert_down_vec", down, ["int8"], rounded.downs, null));
      if (!fastUp || !fastDown) return variants;
      const both = (ups: readonly Call[], downs: readonly Call[]) =>
        this.floats([...ups.slice(-1), ...downs.slice(-1)], y, D);
      const name = `experts ${[...new Set([up.format.name, down.format.name])].join(" and ")} int8`;
      const wanted = await this.#tried(name, () =>
        both(float.ups(bestUp?.variant ?? plain(usual.up)), float.downs(bestDown?.variant ?? plain(usual.down))),
      );
      const got =
        wanted && (await this.#tried(name, () => both(rounded.ups(fastUp.variant), rounded.downs(fastDown.variant))));
      if (!wanted || !got || !this.#equal(name, got, wanted, TOLERANCE.int8)) return variants;
      const now = bestUp && bestDown ? bestUp.ms + bestDown.ms : Number.POSITIVE_INFINITY;
      return fastUp.ms + fastDown.ms < now ? { up: fastUp.variant, down: fastDown.variant } : variants;
    } finally {
      this.free();
    }
  }

  /** The fastest variant of products for many rows, by one matrix. */
  async tile(w: GpuMatrix): Promise<TileName | null> {
    const { encoder, tuning } = this.#context;
    const width = w.groups * 32;
    const stride = w.rows;
    try {
      const x = this.random(width, w.cols, TILE_ROWS);
      const y = this.buffer(TILE_ROWS * stride * 4);
      const count = this.count(TILE_ROWS);
      const rowByRow = this.#plainRows(w, x, y, stride);
      const wanted = await this.#tried(`matmul_vec ${w.format.name}`, () =>
        this.floats(rowByRow, y, COMPARED_ROWS * stride, COMPARED_ROWS),
      );
      let best: { name: TileName; ms: number } | null = null;
      for (const name of new Set([tuning.tile, ...tuning.tilesFor(w.format)])) {
        if (performance.now() > this.#until && best) break;
        const ms = await this.#tried(`tile ${name}`, async () => {
          const tile = tuning.tileFor(w.format, name);
          const from = tile.input === "f32" ? x : this.rounded(x, tile.input, w.groups, w.cols, TILE_ROWS);
          const calls = tileCalls(encoder, "matmul", tile, w, { y_stride: stride, ADD: 0 }, { count, x: from, y });
          const got = await this.floats(calls, y, COMPARED_ROWS * stride, TILE_ROWS);
          const tolerance = TOLERANCE[tile.input === "int8" ? "int8" : "f16"];
          if (wanted && !this.#equal(`tile ${name}`, got, wanted, tolerance)) return null;
          return this.time(calls, best?.ms ?? Number.POSITIVE_INFINITY, TILE_ROWS);
        });
        if (ms !== null && (!best || ms < best.ms)) best = { name, ms };
      }
      return best?.name ?? null;
    } finally {
      this.free();
    }
  }

  /** The plain variant of a matrix's product, row by row: what tiles are compared with. */
  #plainRows(w: GpuMatrix, x: Buffer, y: Buffer, y_stride: number): Call[] {
    const input = {
      x,
      norm: null,
      D: w.cols,
      eps: 0,
      key: "",
      ...plain(this.#context.tuning.matvec(w)),
    };
    return matvecCalls(this.#context.encoder, "matmul_vec", w, input, { y_stride, ADD: 0 }, { y });
  }

  /**
   * The fastest of all variants; null where none was tried, or none is right. With `out`, `size`
   * numbers in `y`, each is held against the plain one, and the usual variant is among those tried
   * whatever the time.
   */
  async #best(
    kernel: KernelName,
    kind: WeightKind,
    arithmetics: readonly Arithmetic[],
    calls: (variant: MatvecVariant) => readonly Call[],
    out: { readonly y: Buffer; readonly size: number; readonly usual: MatvecVariant } | null,
    teams?: number,
  ): Promise<{ variant: MatvecVariant; ms: number } | null> {
    const { tuning } = this.#context;
    const { format } = kind;
    const usable = arithmetics.filter(
      (a) => tuning.abilities.arithmetics.includes(a) && format.arithmetics.includes(a),
    );
    let best: { variant: MatvecVariant; ms: number } | null = null;
    const first = plain(out?.usual ?? tuning.candidates("f32", kind)[0]!);
    const nameIt = ({ arithmetic, reduce, threads, teams: n }: MatvecVariant): string =>
      `${kernel} ${format.name} ${arithmetic} ${reduce} ${threads}x${n}`;
    const wanted = out && (await this.#tried(nameIt(first), () => this.floats(calls(first), out.y, out.size)));
    const tried = new Set<string>();
    const attempt = async (variant: MatvecVariant, whateverTheTime = false): Promise<void> => {
      const late = performance.now() > this.#until;
      const name = nameIt(variant);
      if ((late && !whateverTheTime) || tried.has(name)) return;
      tried.add(name);
      const ms = await this.#tried(name, async () => {
        const made = calls(variant);
        if (out) {
          const got = await this.floats(made, out.y, out.size);
          if (wanted && !this.#equal(name, got, wanted, TOLERANCE[variant.arithmetic])) return null;
        }
        return late ? Number.MAX_VALUE : this.time(made, best?.ms ?? Number.POSITIVE_INFINITY);
      });
      if (ms !== null && (!best || ms < best.ms)) best = { variant, ms };
    };
    if (out && usable.includes(out.usual.arithmetic)) {
      await attempt(out.usual, true);
      if (best === null && wanted) best = { variant: first, ms: Number.MAX_VALUE };
    }
    // All shapes in the first arithmetic, then the best of them in the others.
    for (const [i, arithmetic] of usable.entries()) {
      const variants: MatvecVariant[] = tuning.candidates(arithmetic, kind, teams);
      const likely =
        i === 0 || !best
          ? variants
          : variants.filter((f) => f.threads === best!.variant.threads && f.teams === best!.variant.teams);
      // a real driver compiles them side by side
      if (this.#context.tiles) for (const variant of likely) calls(variant);
      for (const variant of likely) await attempt(variant);
    }
    const found = best as { variant: MatvecVariant; ms: number } | null;
    if (found && found.variant.reduce === "subgroups") await attempt({ ...found.variant, reduce: "tree" });
    return best;
  }

  /**
   * The result of `work` with a variant; null where the device does not take it, which is noted.
   * @throws DeviceError once the device is lost
   */
  async #tried<T>(variant: string, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      this.device.check();
      if (!(error instanceof DeviceError)) throw error;
      this.encoder.reset();
      this.#context.leftOut(`${error instanceof VariantError ? error.kernel : variant}: ${error.message}`);
      return null;
    }
  }

  /** Whether a variant's results are the plain variant's, near enough; else that is noted. */
  #equal(variant: string, got: Float32Array, wanted: Float32Array, tolerance: number): boolean {
    const error = nmse(got, wanted);
    if (error <= tolerance) return true;
    this.#context.leftOut(
      `${variant}: its results are not the plain variant's (normalised error ${error.toExponential(1)}, at most ${tolerance} is allowed)`,
    );
    return false;
  }
}

/** The variant that others are compared with: it uses only what every device has. */
function plain(variant: MatvecVariant): MatvecVariant {
  return { ...variant, arithmetic: "f32", reduce: "tree" };
}
