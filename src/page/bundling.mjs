// Bundles a form of the page with vite where a file of the last bundle has changed.
//
// Run by src/setup.mjs through build.mjs and local/build.mjs; with --types it only says whether the
// bundle is old.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
/** Exit status: the bundle is left for later. */
const LEFT = 10;

/** A digest of the files that the bundle is made from; null where one is gone. */
function digestOf(files) {
  const hash = createHash("sha256");
  for (const file of files) {
    if (!existsSync(root + file)) return null;
    hash.update(`${file}\n`).update(readFileSync(root + file));
  }
  return hash.digest("hex");
}

/**
 * @param name of the bundle: it is in dist/<name>
 * @param proof a file that is there with the bundle
 * @param given files that it is made from beside its modules
 * @param make writes the bundle with vite's build() and these options
 */
export async function bundle(name, proof, given, make) {
  const target = `${root}dist/${name}`;
  const stamp = `${root}dist/.cache/${name}.json`;
  if (existsSync(stamp) && existsSync(`${target}/${proof}`)) {
    const { files, digest } = JSON.parse(readFileSync(stamp, "utf8"));
    if (digestOf(files) === digest) return;
  }
  if (process.argv.includes("--types")) process.exit(LEFT);
  process.env.NODE_ENV = "production"; // also where tests build it, whose bundle would be larger
  const { build } = await import("vite");
  const files = new Set(["package-lock.json", "src/page/bundling.mjs", ...given]);
  const note = {
    name: "note-files",
    buildEnd() {
      for (const id of this.getModuleIds()) {
        const file = relative(root, id.split("?")[0]).replaceAll("\\", "/");
        // What packages hold is told by the lock file.
        if (/^(src|kernels)\//.test(file) && existsSync(root + file)) files.add(file);
      }
    },
  };
  const options = { configFile: false, logLevel: "error", publicDir: false, plugins: [note] };
  const page = {
    ...options,
    base: "./",
    build: {
      outDir: target,
      emptyOutDir: true,
      assetsDir: "page",
      target: "es2022",
      // light-dark()
      cssTarget: ["chrome123", "firefox120", "safari17.5"],
      modulePreload: { polyfill: false },
    },
  };
  await make({ build, page, options, target });
  const sorted = [...files].sort();
  mkdirSync(`${root}dist/.cache`, { recursive: true });
  writeFileSync(stamp, JSON.stringify({ files: sorted, digest: digestOf(sorted) }));
}
