// A folder of weights in a browser: files that the user picked, or those below
// a URL (http_files.ts).

import { WeightsError } from "../errors.ts";
import type { Files } from "./files.ts";

export { httpFolderOrFile } from "./http_files.ts";

/**
 * Files picked by the user (an <input webkitdirectory>, drag and drop, the origin
 * private file system).
 */
export function pickedFiles(picked: readonly File[], label = "picked files"): Files {
  return namedFiles(new Map(picked.map((file) => [pathOf(file), file])), label);
}

/** Files by their paths in the folder. */
export function namedFiles(byName: ReadonlyMap<string, File>, label: string): Files {
  return {
    label,
    list: async (subfolder) => {
      const start = subfolder === undefined ? "" : `${subfolder}/`;
      const below = [...byName.keys()].filter((path) => path.startsWith(start)).map((path) => path.slice(start.length));
      return below.filter((path) => !path.includes("/"));
    },
    size: async (name) => byName.get(name)?.size ?? null,
    async read(name, offset, into) {
      const file = byName.get(name);
      if (!file) throw new WeightsError(`${label}: ${name} is missing`);
      const bytes = await file.slice(offset, offset + into.length).arrayBuffer();
      fill(into, bytes, `${label}: ${name}`, offset);
    },
    close: async () => {},
  };
}

/** The path within the picked folder; only the name if files were picked one by one. */
function pathOf(file: File): string {
  const path = file.webkitRelativePath ?? "";
  return path.includes("/") ? path.slice(path.indexOf("/") + 1) : file.name;
}

function fill(into: Uint8Array, bytes: ArrayBuffer, where: string, offset: number): void {
  if (bytes.byteLength !== into.length) {
    throw new WeightsError(`${where}: ${into.length} bytes expected at byte ${offset}, found ${bytes.byteLength}`);
  }
  into.set(new Uint8Array(bytes));
}
