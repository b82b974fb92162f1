// The metadata of one architecture: keys that begin with its name.

import type { WeightsError } from "../../errors.ts";
import { type Metadata, Texts } from "./metadata.ts";

/** Reads `${architecture}.${key}`. Every reader throws a WeightsError that names the whole key. */
export class Keys {
  readonly metadata: Metadata;
  readonly architecture: string;

  constructor(metadata: Metadata, architecture: string) {
    this.metadata = metadata;
    this.architecture = architecture;
  }

  name(key: string): string {
    return `${this.architecture}.${key}`;
  }

  has(key: string): boolean {
    return this.metadata.has(this.name(key));
  }

  /** A whole number from 1 to `most`. */
  size(key: string, { otherwise, most = 2 ** 24 }: { otherwise?: number; most?: number } = {}): number {
    const value = this.#same(key) ?? this.metadata.integer(this.name(key), otherwise);
    if (value >= 1 && value <= most) return value;
    throw this.error(key, `expected a whole number from 1 to ${most}, found ${value}`);
  }

  /** A whole number from 0 on, 0 if the key is absent. */
  count(key: string): number {
    const value = this.#same(key) ?? this.metadata.integer(this.name(key), 0);
    if (value >= 0) return value;
    throw this.error(key, `expected a whole number from 0 on, found ${value}`);
  }

  /** The one number of a list with a number a layer, of which some may be 0. */
  sameOrNone(key: string): number {
    const all = Array.from(this.metadata.numbers(this.name(key)));
    const found = all.find((value) => value !== 0);
    const fits = found !== undefined && found > 0 && found <= 4096 && Number.isInteger(found);
    if (fits && all.every((value) => value === 0 || value === found)) return found;
    throw this.error(key, `expected the same whole number, or 0, in every layer, found ${all.slice(0, 8).join(", ")}`);
  }

  float(key: string, otherwise?: number): number {
    return this.metadata.float(this.name(key), otherwise);
  }

  text(key: string, otherwise: string): string {
    return this.metadata.text(this.name(key), otherwise);
  }

  /** Refuses a key whose value changes what is computed: a number or flag other than `neutral`. */
  only(key: string, neutral: readonly (number | boolean)[]): void {
    const found = this.metadata.raw(this.name(key));
    if (found === undefined) return;
    const values: readonly unknown[] =
      found.kind === "array" && !(found.value instanceof Texts) ? [...found.value] : [found.value];
    const other = values.find(
      (value) => !neutral.includes(typeof value === "bigint" ? Number(value) : (value as number)),
    );
    if (other === undefined) return;
    throw this.error(
      key,
      `expected ${neutral.join(" or ")}, found ${String(other).slice(0, 80)}: that is not implemented`,
    );
  }

  error(key: string, problem: string): WeightsError {
    return this.metadata.error(this.name(key), problem);
  }

  /** The one value of an array with a number a layer; undefined if it is no array. */
  #same(key: string): number | undefined {
    if (this.metadata.raw(this.name(key))?.kind !== "array") return undefined;
    const values = Array.from(this.metadata.numbers(this.name(key)));
    const [first] = values;
    if (first === undefined || !Number.isInteger(first))
      throw this.error(key, `expected a whole number a layer, found ${first === undefined ? "an empty array" : first}`);
    const other = values.find((value) => value !== first);
    if (other !== undefined)
      throw this.error(
        key,
        `expected the same number in every layer, found ${first} and ${other}: that is not implemented`,
      );
    return first;
  }
}
