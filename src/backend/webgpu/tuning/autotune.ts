// Finds the fastest form of the kernels for few rows on this adapter, on the weights that were loaded; remembers it.
//
// Every candidate is first held against the plain form (f32, reduced by a tree) on the same inputs: one that does not compile, or
// computes something else on this device, is left out, whatever its speed. What the time does not reach keeps the usual form, held
// against the plain one too, and that is remembered: an adapter that is slow to compile must not take the time again at every start.

import { DeviceError } from "../../../errors.ts";
import type { Buffer, Device } from "../device/device.ts";
import { FormError } from "../dispatch/pipelines.ts";
import type { Call, Recorder } from "../dispatch/recorder.ts";
import type { Arithmetic } from "../dispatch/shader.ts";
import type { KernelName } from "../dispatch/table.ts";
import type { GpuSlots } from "../weights/slots.ts";
import type { GpuExperts, GpuMatrix, WeightKind } from "../weights/space.ts";
import { type Few, matvecCalls } from "./matvec.ts";
import { TILES, type TileName, tileCalls } from "./tiles.ts";
import { fillTransit, nmse, Trial } from "./trial.ts";
import { type ExpertForms, type Form, kindOf, type Tuning, takeInt8 } from "./tuning.ts";

/** Keeps small texts from run to run: a file in Node, local storage in a page. Both may fail silently. */
export interface TuningStore {
  read(name: string): Promise<string | null>;
  write(name: string, text: string): Promise<void>;
}

export interface AutotuneHost {
  readonly device: Device;
  readonly recorder: Recorder;
  readonly tuning: Tuning;
  /** What the model has: kernels are timed on it. */
  readonly matrices: readonly GpuMatrix[];
  readonly experts: readonly GpuExperts[];
  /** Experts in slots. */
  readonly slots: readonly GpuSlots[];
  /** Of the adapter, for the store. */
  readonly adapter: string;
  /** Whether products for many rows are timed too: on anything but a software adapter. */
  readonly tiles: boolean;
  /** Is told of each form that was left out, and why. */
  leftOut(why: string): void;
}

/** Changes when kernels do: what was measured of older ones is measured again. */
const VERSION = 3;
/** Rows of activations that tiles are timed on. */
const TILE_ROWS = 256;
/** Of those, rows whose results are compared. */
const COMPARED_ROWS = 16;
/** Milliseconds that finding out may take. */
const BUDGET = { gpu: 10_000, software: 5000 } as const;
/** Matrices that a timing goes around, so that it does not measure the caches. */
const MOST_MATRICES = 16;
/** Largest NMSE against the f32 form. */
const TOLERANCE: Readonly<Record<Arithmetic, number>> = { f32: 1e-8, f16: 1e-5, int8: 5e-4 };

type Found = Form | ExpertForms | TileName;

/** A problem: one shape of matrix, or of a layer's experts. */
interface Problem {
  readonly key: string;
  readonly find: () => Promise<Found | null>;
  readonly usual: Found;
  readonly use: (found: Found) => void;
}

/** Chooses forms for every shape of weights that was loaded. @throws DeviceError */
export async function autotune(host: AutotuneHost, store: TuningStore | null): Promise<void> {
  const { tuning } = host;
  const name = `tuning ${VERSION} ${host.adapter} ${tuning.abilities.arithmetics} ${tuning.abilities.subgroup}`;
  const known = parse(await store?.read(name));
  const until = performance.now() + BUDGET[host.tiles ? "gpu" : "software"];
  let learned = false;
  for (const { key, find, usual, use } of problems(host, until)) {
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

/** Whether something stored is a form, a layer's forms or a tile: the file may be anybody's. */
function isFound(x: unknown): x is Found {
  if (typeof x === "string") return x in TILES;
  if (typeof x !== "object" || x === null) return false;
  const { up, down, arithmetic, reduce, threads, teams } = x as Partial<ExpertForms & Form>;
  if (up !== undefined) return isFound(up) && isFound(down);
  const size = (n: unknown): boolean => typeof n === "number" && [1, 2, 4, 8, 16, 32, 64, 128, 256].includes(n);
  const known = ["f32", "f16", "int8"].includes(String(arithmetic)) && ["tree", "subgroups"].includes(String(reduce));
  return known && size(threads) && size(teams);
}

function problems(host: AutotuneHost, until: number): Problem[] {
  const { tuning, matrices } = host;
  const found = new Map<string, Problem>();
  // What slots hold now is anybody's guess. Forms are compared on the last experts of a problem: transit slots, once filled.
  const experts = [...host.experts, ...host.slots.flatMap((slots) => [slots.ofLayer(0), slots.inTransit])];
  for (const { w13, w2 } of experts) {
    const kinds = `${kindOf(w13)} ${kindOf(w2)}`;
    const key = `experts ${kinds} ${w13.parts.length}`;
    const alike = experts.filter((e) => `${kindOf(e.w13)} ${kindOf(e.w2)}` === kinds);
    found.set(key, {
      key,
      find: () => {
        for (const slots of host.slots) fillTransit(slots);
        return new Bench(host, until).experts(alike, tuning.experts(w13, w2));
      },
      usual: tuning.experts(w13, w2),
      use: (forms) => tuning.setExperts(w13, w2, forms as ExpertForms),
    });
  }
  for (const matrix of matrices) {
    if (matrix.format.name === "f32" && matrices.some((m) => m.format.name !== "f32")) continue; // the routers: small
    const key = `matrix ${kindOf(matrix)}`;
    const alike = matrices.filter((m) => kindOf(m) === kindOf(matrix));
    found.set(key, {
      key,
      find: () => new Bench(host, until).matrix(alike, tuning.matvec(matrix)),
      usual: tuning.matvec(matrix),
      use: (form) => tuning.setMatvec(matrix, form as Form),
    });
  }
  // A square one, near enough: neither a router nor a head with the whole vocabulary.
  const squareness = ({ rows, cols }: GpuMatrix): number => Math.min(rows / cols, cols / rows);
  const square = [...matrices].sort((a, b) => squareness(b) - squareness(a))[0];
  if (square && host.tiles)
    found.set("tile", {
      key: `tile ${square.format.name}`,
      find: () => new Bench(host, until).tile(square),
      usual: tuning.tile,
      use: (tile) => {
        tuning.tile = tile as TileName;
      },
    });
  return [...found.values()];
}

/** Times forms of one problem; frees what it needed for it. */
class Bench extends Trial {
  readonly #host: AutotuneHost;
  readonly #until: number;

  constructor(host: AutotuneHost, until: number) {
    super(host);
    this.#host = host;
    this.#until = until;
  }

  async matrix(alike: readonly GpuMatrix[], usual: Form): Promise<Form | null> {
    const { recorder } = this.#host;
    const first = alike[0]!;
    const some = alike.slice(-MOST_MATRICES); // the first are embeddings, of which one row is read
    const rows = Math.max(...some.map((m) => m.rows));
    const x = this.random(first.groups * 32, first.cols);
    const y = this.buffer(rows * 4);
    const few = { x, norm: null, D: first.cols, eps: 0, key: "" };
    const calls = (form: Form): Call[] =>
      some.flatMap((w) =>
        matvecCalls(recorder, "matmul_vec", w, { ...few, ...form }, { y_stride: rows, ADD: 0 }, { y }),
      );
    try {
      const out = { y, size: some.at(-1)!.rows, usual };
      const best = await this.#best("matmul_vec", first, ["f32", "f16"], calls, out);
      return best?.form ?? null;
    } finally {
      this.free();
    }
  }

  async experts(alike: readonly GpuExperts[], usual: ExpertForms): Promise<ExpertForms | null> {
    const { recorder } = this.#host;
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
      const from = int8 ? this.quantized(x, up.groups, D) : x;
      const few: Omit<Few, keyof Form> = { x: from, norm: null, D, eps: 0, key: "" };
      const ups = (form: Form) =>
        some.flatMap((e) =>
          matvecCalls(
            recorder,
            "expert_up_vec",
            e.w13,
            { ...few, ...form },
            { E: e.count, K, y_stride: stride },
            { ids, y: act },
          ),
        );
      const downs = (form: Form) =>
        some.flatMap((e) =>
          matvecCalls(
            recorder,
            "expert_down_vec",
            e.w2,
            { ...few, x: act, D: F, ...form },
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
      const forms = bestUp && bestDown ? { up: bestUp.form, down: bestDown.form } : null;
      if (!this.#host.tuning.abilities.arithmetics.includes("int8") || !takeInt8(up, down)) return forms;
      const rounded = finders(true);
      // The rounded activations are no numbers to compare; what the second matrix makes of them is.
      const fastUp = await this.#best("expert_up_vec", up, ["int8"], rounded.ups, null, 8);
      const fastDown = fastUp && (await this.#best("expert_down_vec", down, ["int8"], rounded.downs, null));
      if (!fastUp || !fastDown) return forms;
      const both = (ups: readonly Call[], downs: readonly Call[]) =>
        this.floats([...ups.slice(-1), ...downs.slice(-1)], y, D);
      const name = `experts ${[...new Set([up.format.name, down.format.name])].join(" and ")} int8`;
      const wanted = await this.#tried(name, () =>
        both(float.ups(bestUp?.form ?? plain(usual.up)), float.downs(bestDown?.form ?? plain(usual.down))),
      );
      const got =
        wanted && (await this.#tried(name, () => both(rounded.ups(fastUp.form), rounded.downs(fastDown.form))));
      if (!wanted || !got || !this.#equal(name, got, wanted, TOLERANCE.int8)) return forms;
      const now = bestUp && bestDown ? bestUp.ms + bestDown.ms : Number.POSITIVE_INFINITY;
      return fastUp.ms + fastDown.ms < now ? { up: fastUp.form, down: fastDown.form } : forms;
    } finally {
      this.free();
    }
  }

  /** The fastest form of products for many rows, by one matrix. */
  async tile(w: GpuMatrix): Promise<TileName | null> {
    const { recorder, tuning } = this.#host;
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
          const from = tile.int8 ? this.quantized(x, w.groups, w.cols, TILE_ROWS) : x;
          const calls = tileCalls(recorder, "matmul", tile, w, { y_stride: stride, ADD: 0 }, { count, x: from, y });
          const got = await this.floats(calls, y, COMPARED_ROWS * stride, TILE_ROWS);
          const tolerance = TILES[name].int8 ? TOLERANCE.int8 : TOLERANCE.f16;
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

  /** The plain form of a matrix's product, row by row: what tiles are held against. */
  #plainRows(w: GpuMatrix, x: Buffer, y: Buffer, y_stride: number): Call[] {
    const few = {
      x,
      norm: null,
      D: w.cols,
      eps: 0,
      key: "",
      ...plain(this.#host.tuning.matvec(w)),
    };
    return matvecCalls(this.#host.recorder, "matmul_vec", w, few, { y_stride, ADD: 0 }, { y });
  }

  /**
   * The fastest of all forms; null where none was tried, or none is right. With `out`, `size` numbers in `y`, each is held
   * against the plain one, and the usual form is among those tried whatever the time.
   */
  async #best(
    kernel: KernelName,
    { format, groups }: WeightKind,
    arithmetics: readonly Arithmetic[],
    calls: (form: Form) => readonly Call[],
    out: { readonly y: Buffer; readonly size: number; readonly usual: Form } | null,
    teams?: number,
  ): Promise<{ form: Form; ms: number } | null> {
    const { tuning } = this.#host;
    const usable = arithmetics.filter(
      (a) => tuning.abilities.arithmetics.includes(a) && format.arithmetics.includes(a),
    );
    let best: { form: Form; ms: number } | null = null;
    const first = plain(out?.usual ?? tuning.candidates("f32", groups)[0]!);
    const nameIt = ({ arithmetic, reduce, threads, teams: n }: Form): string =>
      `${kernel} ${format.name} ${arithmetic} ${reduce} ${threads}x${n}`;
    const wanted = out && (await this.#tried(nameIt(first), () => this.floats(calls(first), out.y, out.size)));
    const tried = new Set<string>();
    const attempt = async (form: Form, whateverTheTime = false): Promise<void> => {
      const late = performance.now() > this.#until;
      const name = nameIt(form);
      if ((late && !whateverTheTime) || tried.has(name)) return;
      tried.add(name);
      const ms = await this.#tried(name, async () => {
        const made = calls(form);
        if (out) {
          const got = await this.floats(made, out.y, out.size);
          if (wanted && !this.#equal(name, got, wanted, TOLERANCE[form.arithmetic])) return null;
        }
        return late ? Number.MAX_VALUE : this.time(made, best?.ms ?? Number.POSITIVE_INFINITY);
      });
      if (ms !== null && (!best || ms < best.ms)) best = { form, ms };
    };
    if (out && usable.includes(out.usual.arithmetic)) {
      await attempt(out.usual, true);
      if (best === null && wanted) best = { form: first, ms: Number.MAX_VALUE };
    }
    // All shapes in the first arithmetic, then the best of them in the others.
    for (const [i, arithmetic] of usable.entries()) {
      const forms: Form[] = tuning.candidates(arithmetic, groups, teams);
      const likely =
        i === 0 || !best
          ? forms
          : forms.filter((f) => f.threads === best!.form.threads && f.teams === best!.form.teams);
      if (this.#host.tiles) for (const form of likely) calls(form); // a real driver compiles them side by side
      for (const form of likely) await attempt(form);
    }
    const found = best as { form: Form; ms: number } | null;
    if (found && found.form.reduce === "subgroups") await attempt({ ...found.form, reduce: "tree" });
    return best;
  }

  /** What `work` gives with a form; null where the device does not take it, which is noted. @throws DeviceError once it is lost */
  async #tried<T>(form: string, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      this.device.check();
      if (!(error instanceof DeviceError)) throw error;
      this.recorder.reset();
      this.#host.leftOut(`${error instanceof FormError ? error.form : form}: ${error.message}`);
      return null;
    }
  }

  /** Whether a form's results are the plain form's, near enough; else that is noted. */
  #equal(form: string, got: Float32Array, wanted: Float32Array, tolerance: number): boolean {
    const error = nmse(got, wanted);
    if (error <= tolerance) return true;
    this.#host.leftOut(
      `${form}: its results are not the plain form's (normalised error ${error.toExponential(1)}, at most ${tolerance} is allowed)`,
    );
    return false;
  }
}

/** What a form is held against: no arithmetic and no operation but what every device has. */
function plain(form: Form): Form {
  return { ...form, arithmetic: "f32", reduce: "tree" };
}
