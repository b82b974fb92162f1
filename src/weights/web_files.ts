// A folder of weights in a browser: files that the user picked, or a base URL that answers range requests.

import { WeightsError } from "../errors.ts";
import type { Files } from "./files.ts";

/** Files picked by the user (an <input webkitdirectory>, drag and drop, the origin private file system). */
export function pickedFiles(picked: readonly File[], label = "picked files"): Files {
  const byName = new Map(picked.map((file) => [pathOf(file), file]));
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

/** The path within the folder that was picked; the name alone where files were picked one by one. */
function pathOf(file: File): string {
  const path = file.webkitRelativePath ?? "";
  return path.includes("/") ? path.slice(path.indexOf("/") + 1) : file.name;
}

/**
 * Files below a URL, read by HTTP range requests; a server that ignores `Range` is refused rather than read whole.
 * There is no listing over HTTP: list() is empty, files are asked for by name.
 */
export function httpFiles(base: string, fetcher: typeof fetch = (...args) => fetch(...args)): Files {
  const root = base.endsWith("/") ? base : `${base}/`;
  const sizes = new Map<string, number | null>();
  return {
    label: base,
    list: async () => [],
    async size(name) {
      let size = sizes.get(name);
      if (size === undefined) {
        const response = await fetcher(root + encodePath(name), { method: "HEAD" });
        const length = response.headers.get("content-length");
        if (!response.ok && response.status !== 404) {
          throw new WeightsError(`${root}${name}: expected HTTP status 200 or 404, found ${response.status}`);
        }
        if (response.ok && length === null) throw new WeightsError(`${root}${name}: the server does not tell its size`);
        size = response.ok ? Number(length) : null;
        sizes.set(name, size);
      }
      return size;
    },
    async read(name, offset, into) {
      if (into.length === 0) return;
      const range = `bytes=${offset}-${offset + into.length - 1}`;
      const response = await fetcher(root + encodePath(name), { headers: { Range: range } });
      const whole = response.status === 200 && offset === 0 && (await this.size(name)) === into.length;
      if (response.status !== 206 && !whole) {
        await response.body?.cancel();
        throw new WeightsError(
          `${root}${name}: expected HTTP status 206 for ${range}, found ${response.status}; the server must answer range requests`,
        );
      }
      fill(into, await response.arrayBuffer(), root + name, offset);
    },
    close: async () => {},
  };
}

function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

function fill(into: Uint8Array, bytes: ArrayBuffer, where: string, offset: number): void {
  if (bytes.byteLength !== into.length) {
    throw new WeightsError(`${where}: ${into.length} bytes expected at byte ${offset}, found ${bytes.byteLength}`);
  }
  into.set(new Uint8Array(bytes));
}
