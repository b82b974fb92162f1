// The user's cache directory: what hotset remembers between runs. Node only.

import { homedir } from "node:os";
import { join } from "node:path";

/** $HOTSET_CACHE, or `hotset` in the directory that the system has for such things. */
export function cacheDirectory(): string {
  const { HOTSET_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (HOTSET_CACHE) return HOTSET_CACHE;
  if (process.platform === "win32") return join(LOCALAPPDATA ?? homedir(), "hotset");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches", "hotset");
  return join(XDG_CACHE_HOME || join(homedir(), ".cache"), "hotset");
}
