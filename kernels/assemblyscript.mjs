// Compiles *.simd.ts with AssemblyScript: only what changed, each result kept under a digest of all
// that it was made from.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

/**
 * A module to compile.
 * @typedef {object} Unit
 * @property {string} name
 * @property {readonly string[]} entries files whose exports it has, relative to kernels/
 * @property {Readonly<Record<string, string>>} stands import path without ending -> the file that
 * stands for it
 * @property {readonly string[]} features what the compiler may use beyond SIMD and threads
 */

const here = new URL("./", import.meta.url);
const CACHE = new URL("../dist/.cache/simd/", here);
/** Results kept of each unit: changing a line and changing it back compiles once. */
const KEPT = 4;
const IMPORT = /^(?:import|export)\b[^;"]*?\bfrom\s+"([^"]+)"/gm;
const OPTIONS = [
  ...["--runtime", "stub", "-O3", "--noAssert", "--importMemory", "--sharedMemory"],
  ...["--initialMemory", "1", "--maximumMemory", "65536", "--use", "abort="],
];

/** The text of a file by its path in kernels/, or null. */
function source(path) {
  const file = new URL(path, here);
  return existsSync(file) ? readFileSync(file, "utf8") : null;
}

/** The file that a path, ".ts" included, means in a unit. */
function standIn({ stands }, path) {
  const other = stands[path.replace(/\.ts$/, "")];
  return other === undefined ? path : `${other}.ts`;
}

/** All files that a unit is made from: its entries and what they import, whatever stands for it. */
export function filesOf(unit) {
  const files = new Set();
  const visit = (path) => {
    if (files.has(path)) return;
    const text = source(path);
    if (text === null) throw new Error(`kernels/${path} does not exist`);
    files.add(path);
    for (const [, wanted] of text.matchAll(IMPORT))
      visit(standIn(unit, `${posix.join(posix.dirname(path), wanted)}.ts`));
  };
  for (const entry of unit.entries) visit(entry);
  return files;
}

/** A digest of a unit, of the files that it is made from, and of the compiler. */
function digestOf(unit, files) {
  const hash = createHash("sha256").update(JSON.stringify(unit));
  const compiler = new URL("../node_modules/assemblyscript/package.json", here);
  for (const url of [new URL(import.meta.url), compiler]) hash.update(readFileSync(url));
  for (const path of [...files].sort()) hash.update(`\n${path}\n`).update(source(path));
  return hash.digest("hex");
}

/** Where the binary of a unit is kept, as its files are now. */
function keptAt(unit) {
  return new URL(`${unit.name}-${digestOf(unit, filesOf(unit))}.wasm`, CACHE);
}

/** Whether there is nothing to compile. */
export function areCompiled(units) {
  return units.every((unit) => existsSync(keptAt(unit)));
}

/**
 * The binaries of these units, in their order. Those that are not there yet are compiled
 * on several threads.
 * @param {readonly Unit[]} units
 * @returns {Promise<Buffer[]>}
 */
export async function compileUnits(units) {
  mkdirSync(CACHE, { recursive: true });
  const kept = units.map(keptAt);
  const missing = units.map((unit, i) => ({ unit, file: kept[i] })).filter(({ file }) => !existsSync(file));
  // Each thread has to warm the compiler up, which takes about as long as a unit.
  const threads = Math.min(Math.ceil(missing.length / 2), availableParallelism());
  const queue = [...missing];
  await Promise.all(Array.from({ length: threads }, () => compileOnThread(queue)));
  for (const { unit } of missing) prune(unit.name);
  return kept.map((file) => readFileSync(file));
}

/** Takes units from `queue` until it is empty. */
function compileOnThread(queue) {
  // The compiler's optimizer is WebAssembly: V8 would take longer to optimize it than it runs.
  setFlagsFromString("--liftoff-only");
  const worker = new Worker(new URL(import.meta.url), { workerData: "compile" });
  return new Promise((resolve, reject) => {
    let job;
    const next = () => {
      job = queue.shift();
      if (job) worker.postMessage(job.unit);
      else worker.terminate().then(resolve);
    };
    worker.on("error", reject);
    worker.on("message", ({ binary, error: failure }) => {
      // What was edited meanwhile must not be kept under the digest of what was there before.
      const stale = keptAt(job.unit).href !== job.file.href;
      const error =
        failure ?? (stale ? `kernels: ${job.unit.name} was edited while it was compiled; run this again` : undefined);
      if (error !== undefined) {
        worker.terminate().then(() => reject(new Error(error)));
        return;
      }
      // Another build at the same time sees a whole file or none.
      const part = new URL(`${fileURLToPath(job.file).split(/[\\/]/).pop()}.${process.pid}.tmp`, CACHE);
      writeFileSync(part, binary);
      renameSync(part, job.file);
      next();
    });
    next();
  });
}

/** Removes all but the newest results of a unit. */
function prune(name) {
  const files = readdirSync(CACHE).filter((file) => file.startsWith(`${name}-`) && file.endsWith(".wasm"));
  const age = (file) => statSync(new URL(file, CACHE)).mtimeMs;
  for (const file of files.sort((a, b) => age(b) - age(a)).slice(KEPT)) rmSync(new URL(file, CACHE), { force: true });
}

async function compile(asc, unit) {
  const files = filesOf(unit);
  let binary = null;
  const { error, stderr } = await asc.main(
    [
      ...[...unit.entries, "--outFile", "kernels.wasm", ...OPTIONS],
      ...["simd", "threads", ...unit.features].flatMap((feature) => ["--enable", feature]),
    ],
    {
      readFile(name) {
        const path = standIn(unit, name.replaceAll("\\", "/"));
        const text = source(path);
        // A file that the digest does not know would be compiled once and never again.
        if (text !== null && !files.has(path))
          throw new Error(`${path} is imported in a way that kernels/assemblyscript.mjs does not see`);
        return text;
      },
      writeFile(_, contents) {
        binary = contents;
      },
      listFiles: () => [],
    },
  );
  if (error) throw new Error(`kernels: AssemblyScript: ${unit.name}: ${error.message}\n${stderr.toString()}`);
  // A segment would be written into the shared memory again by every thread that makes an instance.
  if (hasData(binary))
    throw new Error(`kernels: ${unit.name}: a SIMD kernel has static data; use the thread's scratch instead`);
  return binary;
}

/** Whether a WebAssembly binary has a data section (id 11). */
function hasData(binary) {
  let at = 8;
  while (at < binary.length) {
    const id = binary[at++];
    let size = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = binary[at++];
      size |= (byte & 127) << shift;
      if (byte < 128) break;
    }
    if (id === 11) return true;
    at += size;
  }
  return false;
}

if (!isMainThread && workerData === "compile") {
  const { default: asc } = await import("assemblyscript/asc");
  parentPort.on("message", (unit) => {
    compile(asc, unit).then(
      (binary) => parentPort.postMessage({ binary }),
      (error) => parentPort.postMessage({ error: error.message }),
    );
  });
}
