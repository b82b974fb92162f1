// Where `hotset serve` keeps what it has counted.

import { join } from "node:path";
import { cacheDirectory } from "../wiring/node_cache.ts";

/** The folder that was asked for, else one in the cache directory; null: there is none. */
export function activityFolder(asked: string | undefined): string | null {
  if (asked !== undefined) return asked;
  const cache = cacheDirectory();
  return cache === null ? null : join(cache, "activity");
}
