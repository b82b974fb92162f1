// Bundles the command as compiled by tsc into dist/cli: some twenty files in place of several
// hundred modules, each of which Node would look up, read and link for half a millisecond.
//
// Run after the compiler; main.ts starts the result. Packages stay what they are, and so does the
// module of WebAssembly kernels, which the library has too. Files that modules name beside
// themselves (workers, the page) stay where they are: each module keeps its own address.

import { rmSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const dist = fileURLToPath(new URL("../../dist/", import.meta.url));
const out = `${dist}cli`;
const KERNELS = "kernels/wasm.js";
/** A package or a part of Node, not a file. */
const PACKAGE = /^(?!\.|\/|\0|[A-Za-z]:[\\/])/;

/** The address of a module, as seen from the bundle. */
function address(id) {
  const path = JSON.stringify(relative(out, id).replaceAll("\\", "/"));
  return `new URL(${path}, import.meta.url).href`;
}

rmSync(out, { recursive: true, force: true });
await build({
  root: dist,
  configFile: false,
  logLevel: "error",
  publicDir: false,
  plugins: [
    {
      name: "apart",
      enforce: "pre",
      resolveId: (id) => (id.endsWith(KERNELS) ? { id: `../${KERNELS}`, external: true } : null),
      transform: (code, id) =>
        code.includes("import.meta.url") ? { code: code.replaceAll("import.meta.url", address(id)), map: null } : null,
    },
  ],
  build: {
    ssr: `${dist}src/cli/start.js`,
    outDir: out,
    target: "es2022",
    minify: false,
    rollupOptions: {
      external: PACKAGE,
      output: { entryFileNames: "start.js", chunkFileNames: "[name].js" },
    },
  },
});
