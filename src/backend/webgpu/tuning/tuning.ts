// Which variant of the kernels for few rows is used: arithmetic, reduction, workgroup size, teams.
// What is best depends on the adapter and on the matrix: autotune.ts finds out, this file holds
// what was found and what is used without it.

import { FORMATS } from "../../../../kernels/formats/index.ts";
import { type Format, PANEL_ROWS } from "../../../tensor/format.ts";
import type { Arithmetic, Variant } from "../dispatch/shader.ts";
import type { PackedWeights, WeightKind } from "../weights/space.ts";
import { type FewShape, type FewVariant, usualFew } from "./few.ts";
import { placesFor } from "./places.ts";
import { type Form, formFor, type RowForms, rowsPerExpert, stepSizes, type Thresholds, tileRows } from "./rows.ts";
import { type MatrixTile, TILES, type Tile, type TileName, takesInt8Tile, tilesFor } from "./tiles.ts";

/** A variant of the matrix-vector kernels: kernels/lib/matrix/matvec.wgsl. */
export interface MatvecVariant {
  readonly arithmetic: Arithmetic;
  readonly reduce: "tree" | "subgroups";
  /** Invocations of a workgroup, a power of two. */
  readonly threads: number;
  /** Teams that they are divided into, each with eight rows of its own; a power of two. */
  readonly teams: number;
  /** Of how many places an invocation asks for columns before it multiplies those of the first. */
  readonly atOnce: 1 | 2;
}

/** Weights, and how many rows of them a dispatch has; many, where that is not said. */
type Weights = WeightKind & Partial<Pick<PackedWeights, "parts">>;

/** The variants of a layer's experts: both int8, or neither. */
export interface ExpertVariants {
  readonly up: MatvecVariant;
  readonly down: MatvecVariant;
}

/** What the device can do, and what is allowed. */
export interface Abilities {
  /** Arithmetics that may be used for weights that they suit; f32 always is. */
  readonly arithmetics: readonly Arithmetic[];
  /** Largest subgroup; null without subgroups. */
  readonly subgroup: number | null;
  /** The variant of products for many rows that is used unless another is set. */
  readonly tile: TileName;
  /** The tile of the device's matrix units, if it has any. */
  readonly matrix: MatrixTile | null;
  /** Which form of a product is used by its rows, unless other forms are set. */
  readonly forms: RowForms;
  /** The adapter is computed on the CPU. */
  readonly software: boolean;
  /** An invocation has room for some 64 floats, and not for hundreds. */
  readonly fewRegisters?: boolean;
  /** Experts are multiplied in int8, where that is allowed, as long as nothing was timed. */
  readonly int8First?: boolean;
  /** Invocations of a workgroup, at most; absent: what every device takes. */
  readonly threads?: number;
}

/** What a tile is for. */
export type TileUse = "matrices" | "experts";

/** What was found, and what is set for a while: all that variants follow from. */
interface Found {
  readonly matvec: Map<string, MatvecVariant>;
  readonly experts: Map<string, ExpertVariants>;
  readonly tiles: Map<string, TileName>;
}

/**
 * Outputs of expert_up_vec that one workgroup has to make together where they become a
 * group of int8.
 */
const INT8_TEAMS = 8;
/**
 * Invocations of a dispatch that keep the memory of a large GPU busy: with 36 bytes each (eight
 * rows of eight columns of 4.5 bits) 3.5 MB are on their way, 0.8 us at 4.3 TB/s.
 */
const IN_FLIGHT = 98_304;
/** Invocations of a workgroup that every device takes. */
const MOST_THREADS = 256;
/** Bytes of workgroup memory that every device has, and those of an invocation's sums. */
const [SHARED, SUMS] = [16_384, 48];

/** Shapes of a workgroup that are worth timing: invocations, and teams of them. */
const SHAPES: readonly (readonly [threads: number, teams: number])[] = [
  [64, 1],
  [32, 1],
  [64, 2],
  [128, 4],
  [256, 8],
  [128, 1],
  [256, 1],
  [64, 8],
];
/** And on GPUs. */
const MORE_SHAPES: typeof SHAPES = [
  [128, 2],
  [256, 2],
  [256, 4],
  [512, 1],
  [128, 8],
  [512, 8],
];

export class Tuning {
  abilities: Abilities;
  /** The variant of products for many rows, of weights that it takes (tileFor()). */
  tile: TileName;
  #tiles: readonly TileName[] = Object.keys(TILES) as TileName[];
  /** Which form of a product is used, by its rows. */
  forms: RowForms;
  readonly #without = new Set<FewShape>();
  #found: Found = { matvec: new Map(), experts: new Map(), tiles: new Map() };

  constructor(abilities: Abilities) {
    this.abilities = abilities;
    this.tile = abilities.tile;
    this.forms = abilities.forms;
  }

  /** Panels that an invocation of qkv_vec makes at once. */
  get panelsAtOnce(): 1 | 2 {
    return this.abilities.fewRegisters ? 1 : 2;
  }

  /** The variant for products with weights of a kind, of which a team makes so many panels. */
  matvec(w: Weights, panels = 1): MatvecVariant {
    const { matvec } = this.#found;
    return matvec.get(productOf(w, panels)) ?? matvec.get(kindOf(w)) ?? this.#usual(w, panels);
  }

  /** The variant of route.wgsl for a gate of so many rows: one workgroup has all of them. */
  route(gate: WeightKind, experts: number): MatvecVariant {
    const found = this.#found.matvec.get(routeOf(gate, experts));
    if (found) return found;
    const panels = 2 ** Math.ceil(Math.log2(experts / PANEL_ROWS));
    const teams = Math.min(Math.max(panels, 1), 8);
    return this.#routeOf(gate, experts, MOST_THREADS, teams);
  }

  #routeOf(gate: WeightKind, experts: number, threads: number, teams: number): MatvecVariant {
    const usual = this.#allowed<MatvecVariant>({ ...this.#usual(gate), threads, teams });
    if (usual.reduce === "subgroups") return usual;
    const room = (SHARED - 12 * experts) / SUMS; // beside three words an expert
    return { ...usual, threads: Math.min(2 ** Math.floor(Math.log2(room)), threads) };
  }

  /** Variants of route.wgsl that are worth timing. */
  routes(gate: WeightKind, experts: number): MatvecVariant[] {
    const shapes = [64, 128, 256].flatMap((threads) => [1, 2, 4, 8].map((teams) => [threads, teams] as const));
    const most = Math.max(experts / PANEL_ROWS, 1);
    return shapes
      .filter(([, teams]) => teams < 2 * most)
      .map(([threads, teams]) => this.#routeOf(gate, experts, threads, teams))
      .filter(({ threads, teams }) => threads / teams >= 8);
  }

  /** The variants for a layer's experts; a team of the second product takes a token's K of them. */
  experts(up: Weights, down: Weights, K = 1): ExpertVariants {
    const found = this.#found.experts.get(expertsOf(up, down));
    if (found) return found;
    if (this.#untimedInt8 && takeInt8(up, down)) {
      const int8 = { arithmetic: "int8" } as const;
      const shape = this.#allowed({ ...this.#usual(up), ...int8, threads: MOST_THREADS, teams: INT8_TEAMS });
      return { up: shape, down: this.abilities.software ? shape : { ...this.#usual(down, 1, K), ...int8 } };
    }
    return { up: this.#usual(up), down: this.#usual(down, 1, K) };
  }

  /** How a matrix is multiplied by so many rows. */
  form(rows: number): Form {
    return formFor(this.forms.matrices, rows <= this.agree ? 1 : rows, this.#without);
  }

  /** How experts are, if n tokens choose K of E. */
  expertForm(n: number, K: number, E: number): Form {
    return formFor(this.forms.experts, n <= this.agree ? 1 : rowsPerExpert(n, K, E), this.#without);
  }

  /** Up to so many rows of a step agree; none where the kernels for a few were left out. */
  get agree(): number {
    const { agree = 0, matrices, experts } = this.forms;
    return [matrices, experts].some((of) => formFor(of, 1, this.#without) === "tile") ? 0 : agree;
  }

  /** Steps of at most `most` tokens that between them use every form, if tokens choose K of E. */
  stepSizes(most: number, K: number, E: number): readonly number[] {
    return stepSizes(most, (n) => `${this.form(n)} ${this.expertForm(n, K, E)} ${this.#tilesAt(n, K, E)}`);
  }

  /** The sizes whose tiles a step of n tokens takes, where tiles of sizes differ. */
  #tilesAt(n: number, K: number, E: number): string {
    if (this.#found.tiles.size === 0) return "";
    const dense = this.form(n) === "tile" ? tileRows(n) : "";
    return `${dense} ${this.expertForm(n, K, E) === "tile" ? tileRows(rowsPerExpert(n, K, E)) : ""}`;
  }

  /** The variant for a few rows. */
  few({ groups }: WeightKind, shape: FewShape, int8: boolean): FewVariant {
    const usual = { ...usualFew(shape, groups, int8, this.forms.alone), reduce: this.#reduce() };
    if (usual.shape !== "alone") return this.#allowed(usual);
    return int8 ? { ...usual, reduce: "tree" } : usual; // only rows of f32 are loaded together
  }

  /** Whether matrices are multiplied by a few rounded rows: where experts are. */
  fewInt8({ format }: WeightKind): boolean {
    const found = [...this.#found.experts.values()].some(({ up }) => up.arithmetic === "int8");
    return (found || this.#untimedInt8) && format.arithmetics.includes("int8");
  }

  /** From now on experts start from floats where those are allowed: int8 has to be faster. */
  startTiming(): void {
    this.abilities = { ...this.abilities, int8First: false };
  }

  /** Whether experts are multiplied in int8 where no variant was set. */
  get #untimedInt8(): boolean {
    const { arithmetics, int8First } = this.abilities;
    return arithmetics.includes("int8") && (int8First === true || arithmetics.length === 1);
  }

  /** Whether experts may be multiplied by rounded activations now. */
  get usesInt8(): boolean {
    if (this.#untimedInt8 || TILES[this.tile].input === "int8") return true;
    const { experts, tiles } = this.#found;
    if ([...tiles.values()].some((name) => TILES[name].input === "int8")) return true;
    return [...experts.values()].some(({ up }) => up.arithmetic === "int8");
  }

  /**
   * Excludes a variant that did not compile or was wrong, with all that share its tile, its
   * arithmetic or its use of subgroups. Returns whether another variant is left.
   */
  leaveOut({ few, tile, tile_size, cell, arithmetic, reduce }: Variant): boolean {
    const { arithmetics } = this.abilities;
    if (few !== undefined && arithmetic === "f32") {
      const before = this.#without.size;
      return this.#without.add(few === "alone" ? "8x4" : few).size > before;
    }
    if (tile !== undefined) {
      const before = this.#tiles.length;
      this.#tiles = this.#tiles.filter((name) => {
        const { variant }: Tile = TILES[name];
        return variant.tile !== tile || variant.tile_size !== tile_size || variant.cell !== cell;
      });
      for (const [key, name] of this.#found.tiles) if (!this.#tiles.includes(name)) this.#found.tiles.delete(key);
      const left = this.tilesFor(FORMATS.f32); // which suit all weights
      if (!this.#tiles.includes(this.tile)) {
        const next = [this.abilities.tile, ...left].find((name) => left.includes(name));
        if (next === undefined) return false;
        this.tile = next;
      }
      return this.#tiles.length < before;
    }
    if (arithmetic !== undefined && arithmetic !== "f32" && arithmetics.includes(arithmetic))
      this.abilities = { ...this.abilities, arithmetics: arithmetics.filter((other) => other !== arithmetic) };
    else if (reduce === "subgroups" && this.abilities.subgroup !== null)
      this.abilities = { ...this.abilities, subgroup: null };
    else return false;
    for (const found of Object.values(this.#found)) found.clear(); // it may be of that kind
    return true;
  }

  /** The variant of products for many rows of weights of a format, each matrix getting so many. */
  tileFor(format: Format, use: TileUse, rows: number): Tile {
    return TILES[this.tileName(format, use, rows)];
  }

  tileName(format: Format, use: TileUse, rows: number): TileName {
    const wanted = this.#found.tiles.get(tileOf(format, use, rows)) ?? this.tile;
    const suitable = (name: TileName): boolean =>
      this.#tiles.includes(name) && (TILES[name].input !== "int8" || takesInt8Tile(format));
    return [wanted, "shared64" as const, ...this.tilesFor(format)].find(suitable) ?? wanted;
  }

  /** The tiles for weights of a format that this device can run, and that were not left out. */
  tilesFor(format: Format): readonly TileName[] {
    const { arithmetics, matrix } = this.abilities;
    const can = { f16: arithmetics.includes("f16"), int8: arithmetics.includes("int8"), matrix };
    return tilesFor(format, can).filter((name) => this.#tiles.includes(name));
  }

  /** @param panels that a team makes; with parts, only for matrices of as many rows */
  setMatvec(w: Weights, variant: MatvecVariant, panels = 1): void {
    this.#found.matvec.set(w.parts ? productOf(w, panels) : kindOf(w), variant);
  }

  setRoute(gate: WeightKind, experts: number, variant: MatvecVariant): void {
    this.#found.matvec.set(routeOf(gate, experts), variant);
  }

  setExperts(up: WeightKind, down: WeightKind, variants: ExpertVariants): void {
    this.#found.experts.set(expertsOf(up, down), variants);
  }

  setTile(format: Format, use: TileUse, rows: number, name: TileName): void {
    this.#found.tiles.set(tileOf(format, use, rows), name);
  }

  /** Calls `work` with every product in one form, whatever its rows. */
  inForm<T>(form: Form, work: () => T): T {
    const { forms } = this;
    const always: Thresholds = form === "tile" ? [] : [[Number.POSITIVE_INFINITY, form]];
    this.forms = { ...forms, matrices: always, experts: always };
    try {
      return work();
    } finally {
      this.forms = forms;
    }
  }

  /** Calls `work` with what every device computes rightly: f32, row by row, reduced by a tree. */
  plainly<T>(work: () => T): T {
    const kept = [this.#found, this.abilities] as const;
    this.#found = { matvec: new Map(), experts: new Map(), tiles: new Map() };
    this.abilities = { ...this.abilities, arithmetics: ["f32"], subgroup: null };
    try {
      return this.inForm("vec", work);
    } finally {
      [this.#found, this.abilities] = kept;
    }
  }

  /** What is used where nothing was timed: the first arithmetic that the format has. */
  #usual({ format, groups, parts }: Weights, panels = 1, K = 1): MatvecVariant {
    const { arithmetics, software } = this.abilities;
    const arithmetic = arithmetics.find((a) => a !== "int8" && format.arithmetics.includes(a)) ?? "f32";
    // Eight units an invocation, and no team of less than eight.
    let team = Math.min(Math.max(2 ** Math.ceil(Math.log2(groups / 2)), 8), 64);
    if (!software && parts) {
      // Few teams: larger ones, as long as each invocation has two units.
      const teams = Math.max(...parts.map(({ rows }) => rows)) / PANEL_ROWS / panels;
      const most = Math.min(2 ** Math.floor(Math.log2(groups * 2 * K)), MOST_THREADS);
      team = Math.max(team, Math.min(2 ** Math.ceil(Math.log2(IN_FLIGHT / teams)), most));
    }
    const threads = Math.max(team, 64);
    return this.#allowed({
      arithmetic,
      reduce: this.#reduce(),
      threads,
      teams: threads / team,
      atOnce: placesFor(format, this.abilities),
    });
  }

  /** A team must be whole subgroups, or the only one, or do without. */
  #allowed<T extends Pick<MatvecVariant, "reduce" | "threads" | "teams">>(variant: T): T {
    const { subgroup } = this.abilities;
    const apart = subgroup !== null && variant.teams > 1 && variant.threads / variant.teams < subgroup;
    return apart ? { ...variant, reduce: "tree" } : variant;
  }

  #reduce(): MatvecVariant["reduce"] {
    return this.abilities.subgroup === null ? "tree" : "subgroups";
  }

  /**
   * Variants of one arithmetic that are worth timing for weights of a kind, of which a team takes
   * K. @param teams only so many
   */
  candidates(arithmetic: Arithmetic, { format, groups }: WeightKind, teams?: number, K = 1): MatvecVariant[] {
    const atOnce = placesFor(format, this.abilities);
    const units = 2 ** Math.ceil(Math.log2(groups * 4 * K)); // what the invocations of a team stride over
    const { threads: most = MOST_THREADS, software } = this.abilities;
    return [...SHAPES, ...(software ? [] : MORE_SHAPES)]
      .filter(
        ([threads, n]) => threads <= most && (teams === undefined || n === teams) && threads / n <= Math.max(units, 32),
      )
      .map(([threads, n]) => this.#allowed({ arithmetic, reduce: this.#reduce(), threads, teams: n, atOnce }))
      .filter(({ reduce, threads }) => reduce === "subgroups" || threads * SUMS <= SHARED);
  }
}

/** Weights whose products have one variant, in words: "q4 128". */
function kindOf({ format, groups }: WeightKind): string {
  return `${format.name} ${groups}`;
}

/** A product in words: "qkv q4 128 6144", with the rows of its largest part. */
export function productOf(w: Weights, panels: number): string {
  const rows = Math.max(0, ...(w.parts ?? []).map((part) => part.rows));
  return `${panels === 2 ? "qkv" : "matrix"} ${kindOf(w)} ${rows}`;
}

/** A layer's experts in words. */
export function expertsOf(up: WeightKind, down: WeightKind): string {
  return `experts ${kindOf(up)} ${kindOf(down)}`;
}

/** A router in words. */
export const routeOf = (gate: WeightKind, experts: number): string => `route ${gate.groups} ${experts}`;

/** Tiles of products of about so many rows, in words: "tile experts q4 64". */
export function tileOf(format: Format, use: TileUse, rows: number): string {
  return `tile ${use} ${format.name} ${tileRows(rows)}`;
}

/** Whether an expert can take rounded activations: both of its matrices must. */
export function takeInt8(up: WeightKind, down: WeightKind): boolean {
  return [up, down].every(({ format }) => format.arithmetics.includes("int8"));
}
