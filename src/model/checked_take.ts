// Takes a checkpoint's tensors by name: checks their shapes, and that none is left over.

import { WeightsError } from "../errors.ts";
import type { MatrixSource, StoredBytes, WeightSource } from "../tensor/types.ts";
import type { Take } from "./family.ts";

/** Takes from a source. `type`: the model_type of config.json, for messages. */
export class CheckedTake implements Take {
  readonly #source: WeightSource;
  readonly #type: string;
  readonly #used = new Set<string>();
  readonly #root: string; // of a text model's tensors: "model."
  #end = Number.POSITIVE_INFINITY; // of the layers that are read
  #skipped: RegExp | null = null;

  constructor(source: WeightSource, type: string) {
    this.#source = source;
    this.#type = type;
    // Beside a part that sees, the text model's have a name of their own.
    const beside = "model.language_model.";
    this.#root = source.has(`${beside}embed_tokens.weight`) ? beside : "model.";
  }

  matrix(name: string, ...shape: number[]): MatrixSource {
    this.#check(name, shape);
    return this.#source.matrix(this.#stored(name));
  }

  rows(name: string, first: number, rows: number): MatrixSource {
    return this.#source.matrix(this.#stored(name), first, rows);
  }

  skipLayersFrom(layer: number): void {
    this.#end = layer;
  }

  skip(names: RegExp): void {
    this.#skipped = names;
  }

  has(name: string): boolean {
    return this.#source.has(this.#stored(name));
  }

  /** A tensor's name in the files. */
  #stored(name: string): string {
    return name.startsWith("model.") ? this.#root + name.slice("model.".length) : name;
  }

  /** A tensor of `size` bytes. */
  bytes(name: string, size: number): StoredBytes {
    this.#check(name, [size]);
    const stored = this.#source.bytes?.(name);
    if (stored === undefined)
      throw new WeightsError(
        `${this.#source.label}: config.json says that weights are quantized, and there are no files of them`,
      );
    return { bytes: stored.bytes, read: stored.read.bind(stored) };
  }

  /**
   * Rejects unknown tensors: they mean that the model computes something that its family does not.
   * @param tied whether the embedding is also the head
   * @throws WeightsError naming them
   */
  refuseExtra(tied: boolean): void {
    // Old checkpoints store RoPE's inverse frequencies; a tied one may repeat the
    // embedding as lm_head.
    const LAYER = /^model\.(?:language_model\.)?layers\.(\d+)\./;
    const after = (name: string) => Number(LAYER.exec(name)?.[1] ?? -1) >= this.#end;
    const harmless = (name: string) =>
      name.endsWith(".rotary_emb.inv_freq") ||
      (tied && name === "lm_head.weight") ||
      after(name) ||
      this.#skipped?.test(name) ||
      this.#source.shape(name).includes(0); // of no shared experts
    const extra: string[] = [];
    for (const name of this.#source.names()) if (!this.#used.has(name) && !harmless(name)) extra.push(name);
    if (extra.length > 0) {
      const more = extra.length > 3 ? ` and ${extra.length - 3} more` : "";
      throw new WeightsError(
        `${this.#source.label}: tensors that config.json does not ask for: ${extra.slice(0, 3).join(", ")}${more}; the configuration and the weights disagree`,
      );
    }
  }

  #check(asked: string, shape: readonly number[]): void {
    const name = this.#stored(asked);
    this.#used.add(name);
    this.#source.make?.(name, shape);
    if (!this.#source.has(name))
      throw new WeightsError(
        `${this.#source.label}: tensor ${name} [${shape}] is missing; the checkpoint is incomplete or no ${this.#type}`,
      );
    const found = this.#source.shape(name);
    if (withoutOnes(found).join() !== withoutOnes(shape).join())
      throw new WeightsError(
        `${this.#source.label}: tensor ${name}: config.json asks for shape [${shape}], the file has [${found}]; one of the two is wrong`,
      );
  }
}

/** A shape without leading dimensions of 1: a vector may be stored as a matrix of one row. */
function withoutOnes(shape: readonly number[]): readonly number[] {
  const first = shape.findIndex((size) => size !== 1);
  return first < 0 ? [] : shape.slice(first);
}
