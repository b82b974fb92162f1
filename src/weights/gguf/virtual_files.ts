// A folder of small files that are made when they are read.

import { WeightsError } from "../../errors.ts";
import type { Files } from "../files.ts";

type Maker = () => Uint8Array | null | Promise<Uint8Array | null>;

/** Small files by path. Closing it closes the files that they are made from. */
export class VirtualFiles implements Files {
  readonly label: string;
  readonly #behind: Files;
  readonly #makers: ReadonlyMap<string, Maker>;
  readonly #made = new Map<string, Promise<Uint8Array | null>>();

  constructor(label: string, behind: Files, makers: ReadonlyMap<string, Maker>) {
    this.label = label;
    this.#behind = behind;
    this.#makers = makers;
  }

  async list(subfolder?: string): Promise<readonly string[]> {
    const start = subfolder === undefined ? "" : `${subfolder}/`;
    return [...this.#makers.keys()]
      .filter((path) => path.startsWith(start))
      .map((path) => path.slice(start.length))
      .filter((name) => !name.includes("/"));
  }

  async size(name: string): Promise<number | null> {
    return (await this.#make(name))?.length ?? null;
  }

  async read(name: string, offset: number, into: Uint8Array): Promise<void> {
    const bytes = await this.#make(name);
    if (bytes === null || offset + into.length > bytes.length)
      throw new WeightsError(
        `${this.label}: ${name}: ${into.length} bytes expected at byte ${offset}, ${bytes === null ? "the file is missing" : `it has ${bytes.length}`}`,
      );
    into.set(bytes.subarray(offset, offset + into.length));
  }

  close(): Promise<void> {
    return this.#behind.close();
  }

  async #make(name: string): Promise<Uint8Array | null> {
    let made = this.#made.get(name);
    if (made === undefined) {
      made = Promise.resolve().then(() => this.#makers.get(name)?.() ?? null);
      this.#made.set(name, made);
    }
    return made;
  }
}
