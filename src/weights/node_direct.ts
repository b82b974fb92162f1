// Reads of a file past the page cache (O_DIRECT) at any offset, through memory that is aligned as
// such reads need it. Node only.

import type { FileHandle } from "node:fs/promises";
import { DISK_PAGE, LEAST_COPIED } from "./files.ts";

/** Longer reads would hold much memory. */
const MOST = 2 ** 26;
/** Reads at once, each with a memory of its own: as many as Node has threads for files. */
const AT_ONCE = 4;
/** Bytes of a WebAssembly page. */
const WASM_PAGE = 65536;

export class DirectReader {
  readonly #idle: WebAssembly.Memory[] = [];
  readonly #waiting: (() => void)[] = [];
  #busy = 0;

  /** Whether read() takes reads of so many bytes. */
  takes(bytes: number): boolean {
    return bytes >= LEAST_COPIED && bytes <= MOST;
  }

  /**
   * Fills `into` from byte `offset` of a file that was opened with O_DIRECT; false if that fails:
   * `into` is then as before.
   */
  async read(handle: FileHandle, offset: number, into: Uint8Array): Promise<boolean> {
    if (this.#busy === AT_ONCE) await new Promise<void>((resolve) => void this.#waiting.push(resolve));
    else this.#busy++;
    const skipped = offset % DISK_PAGE;
    const bytes = Math.ceil((skipped + into.length) / DISK_PAGE) * DISK_PAGE;
    let memory: WebAssembly.Memory | null = null;
    try {
      memory = this.#take(bytes);
      const whole = new Uint8Array(memory.buffer, 0, bytes);
      const { bytesRead } = await handle.read(whole, 0, bytes, offset - skipped);
      // At the end of a file the last page is not whole.
      if (bytesRead < skipped + into.length) return false;
      into.set(whole.subarray(skipped, skipped + into.length));
      return true;
    } catch {
      return false;
    } finally {
      if (memory) this.#idle.push(memory);
      const next = this.#waiting.shift();
      if (next) next();
      else this.#busy--;
    }
  }

  /** Gives the memory back. */
  close(): void {
    this.#idle.length = 0;
  }

  /** A memory of at least so many bytes. It begins at a page, which an ArrayBuffer may not. */
  #take(bytes: number): WebAssembly.Memory {
    const at = this.#idle.findIndex(({ buffer }) => buffer.byteLength >= bytes);
    if (at >= 0) return this.#idle.splice(at, 1)[0]!;
    if (this.#idle.length + this.#busy > AT_ONCE) this.#idle.shift(); // too small
    return new WebAssembly.Memory({ initial: Math.ceil(bytes / WASM_PAGE) });
  }
}
