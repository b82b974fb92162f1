// Finds the npm packages of the peers. They are not dependencies: hundreds of megabytes for
// comparisons only.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, posix, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

export interface PeerPackage {
  readonly name: string;
  readonly version: string;
  /** Its folder. */
  readonly folder: string;
}

/**
 * The package under $HOTSET_PEERS, a folder with the package installed, or under the checkout.
 * @throws Error saying what to run
 */
export function peerPackage(root: URL, name: string): PeerPackage {
  const given = process.env.HOTSET_PEERS;
  const bases = [...(given ? [resolve(given)] : []), fileURLToPath(root)];
  for (const base of bases) {
    const folder = join(base, "node_modules", name);
    if (!existsSync(join(folder, "package.json"))) continue;
    const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
    return { name, version, folder };
  }
  throw new Error(
    `the package ${name} is not installed (looked in ${bases.join(" and ")}); run: npm install --no-save ${name}\n` +
      `or install it in another folder and name that folder in HOTSET_PEERS`,
  );
}

/** Major versions of @wllama/wllama whose interface is known. */
const WLLAMA = [3, 4];

/**
 * The module and the WebAssembly of an installed @wllama/wllama, below its folder: versions put
 * them in different places.
 * @throws Error naming what was found instead
 */
export function wllamaFiles({ name, version, folder }: PeerPackage): {
  readonly module: string;
  readonly wasm: string;
} {
  if (!WLLAMA.includes(Number.parseInt(version, 10)))
    throw new Error(`${name}: expected version ${WLLAMA.join(" or ")}, found ${version}; install one of these`);
  const { module = "esm/index.js" } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const found = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((path) => path.split(sep).join("/"))
    .filter((path) => path.endsWith(".wasm") && !path.startsWith("node_modules/"));
  // Of several builds the one for threads.
  const wasm = found.find((path) => /multi/.test(path)) ?? found[0];
  if (wasm === undefined)
    throw new Error(`${folder}: expected a file of WebAssembly in version ${version}, found none`);
  return { module: posix.normalize(module), wasm };
}
