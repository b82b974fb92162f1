// Files of the origin private file system that a worker reads and writes in place.

/** FileSystemSyncAccessHandle, which only workers have. */
export interface SyncHandle {
  /** What was asked for, where the browser knows modes. */
  readonly mode?: string;
  read(into: Uint8Array, options: { readonly at: number }): number;
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

/** A file whose handle can be opened; in a page, or of the user's disk, it cannot. */
export type WorkerFile = FileSystemFileHandle & {
  createSyncAccessHandle?(options?: { readonly mode: string }): Promise<SyncHandle>;
};

/**
 * Gives a file its size. @throws DOMException QuotaExceededError where there is no room, also where
 * the browser does not say so, as Chromium in its private windows
 */
export function resize(handle: SyncHandle, size: number): void {
  if (handle.getSize() === size) return;
  handle.truncate(size);
  if (handle.getSize() !== size) throw noRoom();
}

/** Writes all of `bytes`. @throws DOMException as resize() */
export function writeAll(handle: SyncHandle, bytes: Uint8Array, at: number): void {
  for (let done = 0; done < bytes.length; ) {
    const count = handle.write(bytes.subarray(done), { at: at + done });
    if (!(count > 0 && count <= bytes.length - done)) throw noRoom(); // an error's number, as it may be
    done += count;
  }
}

function noRoom(): DOMException {
  return new DOMException("nothing was written", "QuotaExceededError");
}
