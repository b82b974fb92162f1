// Makes a checkout ready to run: node_modules from the lock file, then dist from the sources; does
// nothing where both are fresh.
//
// Run by `npm start`, `npm test` (with --test: a WebGPU adapter for the tests too), `npm run
// bench`, `npm run check` (with --types: no SIMD kernel is compiled where types do not ask for it)
// and `npm pack`. Node built-ins only: it runs before anything is installed. It prints to stderr,
// so that stdout is the command's.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const at = (...parts) => join(root, ...parts);
const STAMP = at("dist", ".sources");
/** What dist is made from. */
const FOLDERS = ["src", "kernels", "bench", "test"];
/** What BUNDLES write. */
const GENERATED = [
  "kernels/wgsl.ts",
  "kernels/wasm.ts",
  "src/backend/cpu/web_worker_text.ts",
  "src/hub/web_writer_text.ts",
  "src/hub/hub_library.ts",
  "src/grammar/xgrammar_library.ts",
  "src/wiring/web_engine_text.ts",
];
const BUNDLES = [
  "kernels/bundle.mjs",
  "src/workers.mjs",
  "src/grammar/bundle.mjs",
  "src/hub/bundle.mjs",
  "src/wiring/bundle.mjs", // of what the others have made
  "src/page/build.mjs",
  "src/page/local/build.mjs",
];
/** What nothing else is made from: the page, and the command in one piece. */
const PAGE = "dist/page/index.html";
const COMMAND = "dist/cli/start.js";
/** Exit status of one that has left something to be compiled later (--types). */
const LEFT = 10;

/**
 * Runs a command with its stdout on our stderr. Returns its exit status; 127 where it
 * cannot be started.
 */
function execute(command, args) {
  // On Windows npm is a .cmd file, which only a shell starts. No argument here needs quoting.
  const shell = process.platform === "win32" && command === "npm";
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2], shell });
  if (error) console.error(`setup: ${command}: ${error.message}`);
  return error ? 127 : (status ?? 1);
}

function fail(message) {
  console.error(`setup: ${message}`);
  process.exit(1);
}

/**
 * Whether node_modules holds what package-lock.json says; packages for other platforms
 * may be absent.
 */
function installed() {
  try {
    const wanted = JSON.parse(readFileSync(at("package-lock.json"), "utf8")).packages;
    const present = JSON.parse(readFileSync(at("node_modules", ".package-lock.json"), "utf8")).packages;
    return Object.entries(wanted).every(
      ([path, { version, optional }]) =>
        path === "" || (present[path] === undefined ? optional === true : present[path].version === version),
    );
  } catch {
    return false; // one of the two files is missing or cut short
  }
}

function install() {
  if (installed()) return;
  console.error("setup: installing packages");
  // devDependencies hold the compiler: they are needed whatever NODE_ENV says. npm's own waits
  // between retries are over a minute in all: too long to learn that there is no network.
  const retries = ["--fetch-retries=3", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"];
  // Warnings speak of packages that development needs for their types, and newer versions of Node.
  const quiet = ["--no-audit", "--no-fund", "--loglevel=error"];
  const options = ["--include=dev", "--include=optional", ...quiet, ...retries];
  // `npm ci` starts from nothing; a folder that only lags behind is brought up to date in place.
  const command = existsSync(at("node_modules")) ? ["install", "--no-save"] : ["ci"];
  if (execute("npm", [...command, ...options]) !== 0)
    fail("npm could not install the packages (see above); with the network back, run the same command again");
}

/** Every file that dist is made from, relative to the root. */
function sources() {
  const found = ["package.json", "package-lock.json", "tsconfig.json"];
  const visit = (folder) => {
    for (const entry of readdirSync(at(folder), { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) visit(path);
      else if (/\.(tsx?|mjs|wgsl|css|html)$/.test(entry.name) && !GENERATED.includes(path)) found.push(path);
    }
  };
  for (const folder of FOLDERS) if (existsSync(at(folder))) visit(folder);
  return found;
}

/** A digest of names, sizes and times of the sources: a removed file counts as a change. */
function fingerprint(files) {
  const hash = createHash("sha256");
  for (const file of files) {
    const { size, mtimeMs } = statSync(at(file));
    hash.update(`${file} ${size} ${mtimeMs}\n`);
  }
  return hash.digest("hex");
}

/**
 * Removes compiled files whose source is gone; what tests and .ci/run have put beside them stays.
 */
function prune() {
  for (const folder of FOLDERS.map((name) => at("dist", name)).filter(existsSync))
    for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
      const path = join(entry.parentPath ?? entry.path, entry.name);
      const made = /^(.*?)(\.d\.ts|\.js\.map|\.js)$/.exec(relative(at("dist"), path));
      if (entry.isFile() && made && ![".ts", ".tsx"].some((ending) => existsSync(at(made[1] + ending)))) rmSync(path);
    }
}

/**
 * Makes the generated sources and compiles what changed since the last time to dist. Where the
 * compiler finds errors it has written what it could, and they are on stderr.
 * @param {boolean} typesOnly for checking only: SIMD kernels are left as they were compiled before
 * @returns {boolean} whether dist is good, but for what was left
 */
export function build(typesOnly = false) {
  const digest = fingerprint(sources());
  const whole = existsSync(at("dist/src/cli/main.js"));
  const fresh = existsSync(STAMP) && readFileSync(STAMP, "utf8") === digest;
  if (
    fresh &&
    whole &&
    [PAGE, COMMAND].every((path) => existsSync(at(path))) &&
    GENERATED.every((path) => existsSync(at(path)))
  )
    return true;
  if (!whole) console.error("setup: compiling kernels and TypeScript: a minute or two, the first time only");
  let left = false;
  for (const script of BUNDLES) {
    const status = execute(process.execPath, [script, ...(typesOnly ? ["--types"] : [])]);
    if (status === LEFT) left = true;
    else if (status !== 0) return false;
  }
  // The compiler writes only what it has not written before, as this file says.
  if (!whole) rmSync(at("dist/.tsbuildinfo"), { force: true });
  // The compiler's own script, not its .bin link: those are shell scripts on Windows.
  const manifest = JSON.parse(readFileSync(at("node_modules/typescript/package.json"), "utf8"));
  const tsc = at("node_modules/typescript", manifest.bin.tsc);
  if (execute(process.execPath, [tsc, "-p", "tsconfig.json"]) !== 0) return false;
  prune();
  if (execute(process.execPath, ["src/cli/bundle.mjs"]) !== 0) return false;
  chmodSync(at("dist/src/cli/main.js"), 0o755);
  if (!left) writeFileSync(STAMP, digest);
  return true;
}

if (process.argv[1] && pathToFileURL(realpathSync(process.argv[1])).href === import.meta.url) {
  install();
  if (!build(process.argv.includes("--types"))) fail("the build failed (see above)");
  if (process.argv.includes("--test")) {
    const { ensureAdapter } = await import("../test/setup/adapter.mjs");
    ensureAdapter();
  }
}
