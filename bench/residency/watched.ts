// A folder whose reads are recorded.

import type { Bypass } from "../../src/tensor/types.ts";
import type { Files } from "../../src/weights/files.ts";
import type { Read } from "./types.ts";

export class WatchedFiles implements Files {
  readonly label: string;
  readonly reads: Read[] = [];
  /** The most reads in flight since this was last reset. */
  inFlight = 0;
  readonly #files: Files;
  readonly #bypass: boolean;
  #now = 0;

  /** @param bypass whether reads that ask for it may go past the page cache */
  constructor(files: Files, bypass: boolean) {
    this.#files = files;
    this.#bypass = bypass;
    this.label = files.label;
  }

  list(subfolder?: string): Promise<readonly string[]> {
    return this.#files.list(subfolder);
  }

  size(name: string): Promise<number | null> {
    return this.#files.size(name);
  }

  async read(name: string, offset: number, into: Uint8Array, asked: Bypass = false): Promise<void> {
    const bypass = this.#bypass && asked;
    this.reads.push([name, offset, into.length, bypass]);
    this.inFlight = Math.max(this.inFlight, ++this.#now);
    try {
      await this.#files.read(name, offset, into, bypass);
    } finally {
      this.#now--;
    }
  }

  close(): Promise<void> {
    return this.#files.close();
  }
}
