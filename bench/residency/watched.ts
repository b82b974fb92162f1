// A folder whose reads are written down.

import type { Files } from "../../src/weights/files.ts";
import type { Read } from "./types.ts";

export class WatchedFiles implements Files {
  readonly label: string;
  readonly reads: Read[] = [];
  /** Most that were under way at once since it was last set. */
  inFlight = 0;
  readonly #files: Files;
  #now = 0;

  constructor(files: Files) {
    this.#files = files;
    this.label = files.label;
  }

  list(): Promise<readonly string[]> {
    return this.#files.list();
  }

  size(name: string): Promise<number | null> {
    return this.#files.size(name);
  }

  async read(name: string, offset: number, into: Uint8Array): Promise<void> {
    this.reads.push([name, offset, into.length]);
    this.inFlight = Math.max(this.inFlight, ++this.#now);
    try {
      await this.#files.read(name, offset, into);
    } finally {
      this.#now--;
    }
  }

  close(): Promise<void> {
    return this.#files.close();
  }
}
