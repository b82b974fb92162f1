// Finds the npm packages of the peers. They are not dependencies: hundreds of megabytes for
// comparisons only.

import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
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
