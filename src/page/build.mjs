// Bundles the page into dist/page/: index.html, and page/ with files named by what they hold.
//
// Run by src/setup.mjs, with --types only to say whether the bundle is old; does nothing where no
// file of the last bundle has changed.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const here = fileURLToPath(new URL("./", import.meta.url));
const target = `${root}dist/page`;
const STAMP = `${root}dist/.cache/page.json`;
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

function isFresh() {
  if (!existsSync(STAMP) || !existsSync(`${target}/index.html`)) return false;
  const { files, digest } = JSON.parse(readFileSync(STAMP, "utf8"));
  return digestOf(files) === digest;
}

if (!isFresh()) {
  if (process.argv.includes("--types")) process.exit(LEFT);
  const { build } = await import("vite");
  const files = new Set(["package-lock.json", "src/page/build.mjs", "src/page/index.html"]);
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
  await build({
    root: here,
    base: "./",
    configFile: false,
    logLevel: "error",
    publicDir: false,
    plugins: [note],
    build: {
      outDir: target,
      emptyOutDir: true,
      assetsDir: "page",
      target: "es2022",
      // light-dark()
      cssTarget: ["chrome123", "firefox120", "safari17.5"],
      modulePreload: { polyfill: false },
    },
  });
  const sorted = [...files].sort();
  mkdirSync(`${root}dist/.cache`, { recursive: true });
  writeFileSync(STAMP, JSON.stringify({ files: sorted, digest: digestOf(sorted) }));
}
