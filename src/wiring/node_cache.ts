// The user's cache directory: what hotset remembers between runs. Node only.

import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/**
 * $HOTSET_CACHE, or `hotset` in the system's cache directory. Null if there is none, for example
 * for a user without a home: nothing is kept then.
 */
export function cacheDirectory(): string | null {
  const { HOTSET_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (HOTSET_CACHE) return HOTSET_CACHE;
  const { platform } = process;
  const caches =
    platform === "win32"
      ? LOCALAPPDATA || home()
      : platform === "darwin"
        ? home("Library", "Caches")
        : // the specification says to ignore a relative path
          XDG_CACHE_HOME && isAbsolute(XDG_CACHE_HOME)
          ? XDG_CACHE_HOME
          : home(".cache");
  return caches === null ? null : join(caches, "hotset");
}

/** A directory in the user's home. */
function home(...parts: readonly string[]): string | null {
  try {
    const path = homedir(); // throws if neither the environment nor the user database has one
    return isAbsolute(path) ? join(path, ...parts) : null;
  } catch {
    return null;
  }
}
