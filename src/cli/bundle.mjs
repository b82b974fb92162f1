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

/**
 * Parts of Node that few commands use and that take milliseconds to load -> what the bundle takes
 * from them: functions, which load the part when they are called.
 */
const LATE = {
  "node:crypto": ["createHash", "randomUUID", "timingSafeEqual"],
  "node:readline": ["createInterface"],
  "node:readline/promises": ["createInterface"],
  "node:zlib": ["deflateSync", "gzipSync"],
};

/** A module of such functions; the bundler reports a name that is missing. */
function late(part) {
  const load = `process.getBuiltinModule(${JSON.stringify(part)})`;
  return LATE[part].map((name) => `export const ${name} = (...args) => ${load}.${name}(...args);\n`).join("");
}

/**
 * The backend of which one function is called from outside, and awaited: a chunk of its own, read
 * by it.
 */
const WEBGPU = "backend/webgpu/webgpu.js";
const LATE_WEBGPU = "\0late webgpu";
const openingWebGpu = `export async function createWebGpuOps(...args) {
  return (await import(${JSON.stringify(`${dist}src/${WEBGPU}`)})).createWebGpuOps(...args);
}`;

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
      resolveId(id, importer) {
        if (id.endsWith(`/${WEBGPU}`)) return importer === LATE_WEBGPU ? null : LATE_WEBGPU;
        if (id.endsWith(KERNELS)) return { id: `../${KERNELS}`, external: true };
        return Object.hasOwn(LATE, id) ? `\0${id}` : null;
      },
      load(id) {
        if (id === LATE_WEBGPU) return openingWebGpu;
        return Object.hasOwn(LATE, id.slice(1)) ? late(id.slice(1)) : null;
      },
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
      external: (id) => PACKAGE.test(id) && !Object.hasOwn(LATE, id),
      output: { entryFileNames: "start.js", chunkFileNames: "[name].js" },
    },
  },
});
