// What a command leaves to be undone when the process ends, however it ends: temporary folders, and
// by the "exit" event whatever else listens to it.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** By default a signal ends the process without the "exit" event, and children go on. */
export function exitOnSignals(): void {
  process.once("SIGINT", () => process.exit(130)).once("SIGTERM", () => process.exit(143));
}

/** An empty folder, which remove() or the end of the process removes. */
export function temporaryFolder(name: string): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), `hotset-${name}-`));
  const remove = (): void => {
    process.off("exit", remove);
    rmSync(path, { recursive: true, force: true, maxRetries: 3 });
  };
  process.once("exit", remove);
  return { path, remove };
}

/** Does `work` in such a folder, which is removed after it and by a signal. */
export async function inTemporaryFolder(name: string, work: (path: string) => Promise<void>): Promise<void> {
  exitOnSignals();
  const folder = temporaryFolder(name);
  try {
    await work(folder.path);
  } finally {
    folder.remove();
  }
}
