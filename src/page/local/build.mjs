// Bundles the page that computes itself into dist/app/: index.html, its files, and sw.js. `hotset
// page` writes them to a folder, with the engine beside them.
//
// Run by src/setup.mjs, with --types only to say whether the bundle is old; does nothing where no
// file of the last bundle has changed.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const here = fileURLToPath(new URL("./", import.meta.url));
const target = `${root}dist/app`;
const STAMP = `${root}dist/.cache/app.json`;
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
  if (!existsSync(STAMP) || !existsSync(`${target}/sw.js`)) return false;
  const { files, digest } = JSON.parse(readFileSync(STAMP, "utf8"));
  return digestOf(files) === digest;
}

if (!isFresh()) {
  if (process.argv.includes("--types")) process.exit(LEFT);
  const { build } = await import("vite");
  const files = new Set(["package-lock.json", "src/page/local/build.mjs", "src/page/local/index.html"]);
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
  // The engine is a file of its own, engine.js, which changes with everything.
  const text = {
    name: "no-engine-text",
    enforce: "pre",
    resolveId: (id) => (id.endsWith("/web_engine_text.ts") ? "\0no-engine-text" : null),
    load: (id) => (id === "\0no-engine-text" ? 'export const ENGINE = "";' : null),
  };
  const common = { root: here, configFile: false, logLevel: "error", publicDir: false, plugins: [note, text] };
  await build({
    ...common,
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
  });
  const [{ output }] = await build({
    ...common,
    build: {
      write: false,
      target: "es2022",
      lib: { entry: "service_worker.ts", formats: ["iife"], name: "hotset" },
    },
  });
  writeFileSync(`${target}/sw.js`, output[0].code);
  const sorted = [...files].sort();
  mkdirSync(`${root}dist/.cache`, { recursive: true });
  writeFileSync(STAMP, JSON.stringify({ files: sorted, digest: digestOf(sorted) }));
}
