// Products with weights: row by row, with the norm in front and the residual behind in the same
// dispatch; a few rows at once; and by tiles for many.

import { RequestError } from "../../../errors.ts";
import type { Router } from "../../ops.ts";
import type { Buffer } from "../device/device.ts";
import type { Arithmetic } from "../dispatch/shader.ts";
import { FEW, type FewShape, fewCalls } from "../tuning/few.ts";
import { type MatvecInput, matvecCalls } from "../tuning/matvec.ts";
import { type Form, rowsPerExpert } from "../tuning/rows.ts";
import { ROUNDED, type Tile, tileCalls } from "../tuning/tiles.ts";
import type { GpuExperts, GpuMatrix, GpuOrder, PackedWeights } from "../weights/space.ts";
import { type KernelRule, kernelRule, type RuleHalf } from "./expert_rule.ts";
import { checkWidth, type ProductContext } from "./product_context.ts";
import { Projections } from "./projections.ts";
import { rounded, roundedPlace } from "./rounded.ts";
import { type Routed, routed } from "./routing.ts";
import { type GpuTensor, padded } from "./scratch.ts";

type Values = Readonly<Record<string, number>>;
type Buffers = Readonly<Record<string, Buffer>>;

/** Rows that experts multiply: of the tokens [n, D], or of what each token sends to its experts. */
export interface ExpertInputs {
  readonly x: GpuTensor;
  /** Rows for each token: 1, or K of which each has the order of its expert's inputs. */
  readonly each: number;
  /** The rows as experts take them: normed, f32 or int8. */
  readonly rows: (to: Arithmetic) => Buffer;
}

/** Names of scratch buffers, and what the experts do besides their matrices. */
interface MoeOf {
  readonly names: string;
  readonly rule: KernelRule;
  /** Where the experts' weights start. */
  readonly at: number;
  /** Experts that the tokens choose from, which the form follows from. */
  readonly among: number;
}

export class Products {
  readonly #context: ProductContext;

  readonly projections: Projections;
  /** The rows that were rounded last: those that experts and shared ones take are the same. */
  #int8: { readonly x: GpuTensor; readonly buffer: Buffer } | null = null;

  constructor(context: ProductContext) {
    this.#context = context;
    this.projections = new Projections(context, this);
  }

  /** y [n, rows of w] = x · wᵀ, or y += with `add`. */
  matmul(x: GpuTensor, w: GpuMatrix, y: Buffer, stride: number, add: boolean): void {
    checkWidth(x, w);
    const n = x.shape[0];
    const { plans, step, encoder, tuning } = this.#context;
    const form = tuning.form(n);
    if (form === "vec") {
      const input = this.matvec(x, w);
      plans.run(`matmul_vec ${w.id} ${x.buffer.id} ${input.key} ${y.id} ${add}`, n, () =>
        matvecCalls(this.#context.encoder, "matmul_vec", w, input, { y_stride: stride, ADD: Number(add) }, { y }),
      );
      return;
    }
    if (form !== "tile") {
      const few = tuning.few(w, form, tuning.fewInt8(w));
      const from = this.rows(x, few.arithmetic);
      const buffers = { count: step.counts[x.rows], x: from, y };
      plans.run(`matmul_few ${form} ${w.id} ${from.id} ${y.id} ${add}`, n, () =>
        fewCalls(encoder, "matmul_few", few, w, { y_stride: stride, ADD: Number(add) }, buffers),
      );
      return;
    }
    const tile = tuning.tileFor(w.format, "matrices", n);
    const from = this.rows(x, tile.input);
    plans.run(`matmul ${w.id} ${from.id} ${y.id} ${add}`, n, () =>
      tileCalls(
        this.#context.encoder,
        "matmul",
        tile,
        w,
        { y_stride: stride, ADD: Number(add) },
        { count: step.counts[x.rows], x: from, y },
      ),
    );
  }

  /**
   * @param shared the gate of shared experts, if it is to be computed along
   * @param of names the place of its results: a layer may have two routers
   */
  route(x: GpuTensor, router: Router, shared: GpuMatrix | null = null, of = ""): Routed {
    const gate = router.gate as GpuMatrix;
    for (const w of shared ? [gate, shared] : [gate]) checkWidth(x, w);
    return routed(this.#context, x, router, this.matvec(x, gate), { shared, of });
  }

  /** Columns of computed rows x in the order of a matrix's inputs. */
  reorder(x: GpuTensor, order: GpuOrder): GpuTensor {
    const [n, D] = x.shape;
    const y = this.#context.scratch.tensor("reorder", n, D, x.rows);
    this.#reorder(x, order, null, y.buffer);
    return y;
  }

  /** x [n, D] for experts, computed where they have orders; ids [n, K]. */
  expertRows(x: GpuTensor, ids: GpuTensor, order: GpuOrder | null): ExpertInputs {
    if (!order) return { x, each: 1, rows: (to) => this.rows(x, to) };
    const each = ids.shape[1];
    const buffer = this.#context.scratch.storage("reordered rows", x.shape[0], x.stride, x.rows, each);
    this.#reorder(x, order, ids, buffer);
    const own = { ...x, buffer };
    return { x: own, each, rows: (to) => this.rows(own, to, each) };
  }

  #reorder(x: GpuTensor, order: GpuOrder, ids: GpuTensor | null, y: Buffer): void {
    const { plans, step, encoder } = this.#context;
    if (x.shape[1] !== order.cols) throw new RequestError(`reorder: rows [${x.shape}] in an order of ${order.cols}`);
    const params = { D: order.cols, K: ids ? ids.shape[1] : 1, stride: x.stride };
    plans.run(`reorder ${order.buffer.id} ${x.buffer.id} ${ids?.buffer.id} ${y.id}`, x.shape[0], () => [
      encoder.call("reorder", {
        params,
        overrides: { EXPERTS: Number(ids !== null) },
        buffers: {
          count: step.counts[x.rows],
          x: x.buffer,
          order: order.buffer,
          ids: ids?.buffer ?? order.buffer,
          y,
        },
      }),
    ]);
  }

  /**
   * Encodes the experts' FFN but for its last product. The function that is returned encodes that:
   * into y, or with `add` to what is there. Inputs of n tokens, ids and weights [n, K].
   * @param of `names`: of scratch buffers, which that last product reads; two of them may wait
   * `chosen`: the ids of the experts, where `ids` are of slots, and `among` how many there are;
   * `at`: where the weights start
   */
  moe(
    inputs: ExpertInputs,
    ids: GpuTensor,
    weights: GpuTensor,
    experts: GpuExperts,
    {
      names = "expert",
      chosen = ids,
      at = 0,
      among = experts.count,
    }: Partial<Omit<MoeOf, "rule">> & { readonly chosen?: GpuTensor } = {},
  ): (y: Buffer, stride: number, add: boolean) => void {
    const { x } = inputs;
    const [n, width] = x.shape;
    if (width !== experts.hidden || ids.shape[0] !== n)
      throw new RequestError(
        `moe: rows [${x.shape}] and routes [${ids.shape}] for experts of hidden size ${experts.hidden}`,
      );
    const form = this.expertForm(n, ids.shape[1], among);
    const rule = kernelRule(experts, chosen);
    return form === "vec"
      ? this.#moeVec(inputs, ids, weights, experts, { names, rule, at, among })
      : this.#moeGrouped(form, inputs, ids, weights, experts, { names, rule, at, among });
  }

  /** How experts are multiplied, if n tokens choose K of E. */
  expertForm(n: number, K: number, E: number): Form {
    return this.#context.tuning.expertForm(n, K, E);
  }

  // Rows of their own for each of n K assignments are those of n K tokens with one expert each.

  #moeVec(
    { rows, each }: ExpertInputs,
    ids: GpuTensor,
    weights: GpuTensor,
    experts: GpuExperts,
    { names, rule, at }: MoeOf,
  ) {
    const { count: E, intermediate: F, w13: up, w2: down } = experts;
    const { plans, scratch, tuning } = this.#context;
    const [n, K] = ids.shape;
    const variants = tuning.experts(up, down, K);
    const int8 = variants.up.arithmetic === "int8";
    const x = rows(int8 ? "int8" : "f32");
    const stride = int8 ? ROUNDED.int8.words(down.groups) : padded(F);
    const act = scratch.storage(int8 ? `int8 ${names} activations` : `${names} activations`, n, stride, ids.rows, K);
    const plain = { norm: null, D: 0, eps: 0, key: "" };
    const key = `${x.id} ${int8} ${ids.buffer.id} ${rule.key}`;
    plans.run(`expert_up_vec ${up.id} ${key} ${act.id}`, n * each, () =>
      matvecCalls(
        this.#context.encoder,
        "expert_up_vec",
        up,
        { ...plain, x, ...variants.up },
        { E, K: K / each, y_stride: stride, ...rule.up.values },
        { ids: ids.buffer, y: act, ...rule.up.buffers },
        rule.up.files,
      ),
    );
    const again: MatvecInput = { ...plain, x: act, ...variants.down };
    return (y: Buffer, y_stride: number, add: boolean): void =>
      plans.run(`expert_down_vec ${down.id} ${key} ${weights.buffer.id} ${at} ${y.id} ${add}`, n, () =>
        matvecCalls(
          this.#context.encoder,
          "expert_down_vec",
          down,
          again,
          { E, K, y_stride, weights_at: at, ADD: Number(add), ...rule.down.values },
          { ids: ids.buffer, weights: weights.buffer, y, ...rule.down.buffers },
          rule.down.files,
        ),
      );
  }

  /** By expert: a few rows of each at once, or by tiles. */
  #moeGrouped(
    form: FewShape | "tile",
    { rows, each }: ExpertInputs,
    ids: GpuTensor,
    weights: GpuTensor,
    experts: GpuExperts,
    { names, rule, at: weights_at, among }: MoeOf,
  ) {
    const { plans, scratch, step, encoder } = this.#context;
    const { count: E, hidden: D, intermediate: F, w13: up, w2: down } = experts;
    const [n, K] = ids.shape;
    const count = step.counts[ids.rows];
    const { upInput, downInput, calls } = this.#grouped(form, up, down, rowsPerExpert(n, K, among));
    // The kernels for a few rows round what they make; after tiles that is a dispatch of its own.
    const rounds = form !== "tile" && downInput === "int8";
    const stride = rounds ? ROUNDED.int8.words(down.groups) : padded(F);
    const act = scratch.storage(rounds ? `int8 ${names} activations` : `${names} activations`, n, stride, ids.rows, K);
    const out = scratch.storage(`${names} outputs`, n, padded(D), ids.rows, K);
    const sorted = scratch.storage("sorted assignments", n, 1, ids.rows, K);
    const starts = scratch.storage("expert starts", 1, E + 1, "outputs");
    const from = rows(upInput);
    const key = `${form} ${up.id} ${from.id} ${ids.buffer.id} ${weights.buffer.id} ${rule.key}`;
    plans.run(`group ${key}`, n, () => [
      encoder.call("group", { params: { E, K }, buffers: { count, ids: ids.buffer, starts, sorted } }),
    ]);
    const assignments = { starts, sorted };
    const sizes = { E, K: K / each };
    plans.run(`expert_up ${key}`, n * each, () =>
      calls("expert_up", up, { ...sizes, y_stride: stride }, { ...assignments, x: from, y: act }, rule.up),
    );
    const again =
      rounds || downInput === "f32"
        ? act
        : rounded(this.#context, downInput, `${downInput} expert activations`, {
            x: act,
            n,
            D: F,
            rows: ids.rows,
            each: K,
          });
    plans.run(`expert_down ${key}`, n * K, () =>
      calls("expert_down", down, { ...sizes, y_stride: padded(D) }, { ...assignments, x: again, y: out }, rule.down),
    );
    return (y: Buffer, stride: number, add: boolean): void =>
      plans.run(`combine ${key} ${weights_at} ${y.id} ${add}`, n, () => [
        encoder.call("combine", {
          params: { K, vectors: stride / 4, weights_at, width: D },
          overrides: { ADD: Number(add) },
          buffers: { count, x: out, weights: weights.buffer, y },
        }),
      ]);
  }

  /** Rows of an expert that each of its weights is read for at once, if n tokens choose K of E. */
  tokensAtOnce(n: number, K: number, E: number, { w13 }: GpuExperts): number {
    const { tuning } = this.#context;
    const form = tuning.expertForm(n, K, E);
    if (form === "vec") return 1;
    const rows = rowsPerExpert(n, K, E);
    return form === "tile"
      ? tuning.tileFor(w13.format, "experts", rows).tokens
      : FEW[tuning.forms.alone ? "alone" : form].tokens;
  }

  /** The kernels of grouped experts in a form, and what rows they take. */
  #grouped(form: FewShape | "tile", up: PackedWeights, down: PackedWeights, each: number) {
    const { encoder, tuning } = this.#context;
    const [tile, downTile] = [up, down].map(({ format }) => tuning.tileFor(format, "experts", each)) as [Tile, Tile];
    const int8 = tuning.experts(up, down).up.arithmetic === "int8";
    const calls = (name: "expert_up" | "expert_down", w: PackedWeights, own: Values, read: Buffers, half: RuleHalf) => {
      const [values, buffers] = [
        { ...own, ...half.values },
        { ...read, ...half.buffers },
      ];
      return form === "tile"
        ? tileCalls(encoder, name, w === up ? tile : downTile, w, values, buffers, half.files)
        : fewCalls(encoder, `${name}_few`, tuning.few(w, form, int8), w, values, buffers, half.files);
    };
    const few: Arithmetic = int8 ? "int8" : "f32";
    const [upInput, downInput] = form === "tile" ? [tile.input, downTile.input] : [few, few];
    return { upInput, downInput, calls };
  }

  /**
   * Rows of x by dispatches of their own: the norm computed where that was left to the reader, and
   * rounded where kernels multiply in f16 or int8. @param each rows of x for each of its tokens
   */
  rows(x: GpuTensor, to: Arithmetic, each = 1): Buffer {
    if (to === "f32") return this.#context.norms.computed(x).buffer;
    if (to === "int8" && this.#int8?.x === x) return this.#int8.buffer;
    const [n, D] = x.shape;
    const name = `${to} activations`;
    const buffer = rounded(this.#context, to, name, { x: x.buffer, n, D, rows: x.rows, each, norm: x.norm });
    if (to === "int8") this.#int8 = { x, buffer };
    return buffer;
  }

  /** Where rows(x, "int8") are from now on: the caller writes them. */
  int8Rows(x: GpuTensor): Buffer {
    const [n, D] = x.shape;
    const buffer = roundedPlace(this.#context, "int8", "int8 activations", { n, D, rows: x.rows, each: 1 });
    this.#int8 = { x, buffer };
    return buffer;
  }

  /** Forgets the rows of the step before. */
  begin(): void {
    this.#int8 = null;
  }

  /**
   * The input of a matrix-vector kernel, whose teams make so many panels; it computes a norm that
   * was left to it.
   */
  matvec(x: GpuTensor, w: PackedWeights, panels = 1): MatvecInput {
    const { norm } = x;
    return {
      x: x.buffer,
      norm: norm?.weights ?? null,
      D: x.shape[1],
      eps: norm?.eps ?? 0,
      key: norm ? `${norm.weights.id} ${norm.eps}` : "",
      ...this.#context.tuning.matvec(w, panels),
    };
  }
}
