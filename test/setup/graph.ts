// What tests depend on, read from the sources: which may share a process, and which a changed file
// is judged by.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";

const root = new URL("../../", import.meta.url);
const GENERATED: Readonly<Record<string, RegExp>> = {
  "kernels/wgsl.ts": /^kernels\/.*\.wgsl$/,
  "kernels/wasm.ts": /^kernels\/.*\.simd\.ts$/,
  "src/wiring/web_engine_text.ts": /^src\/wiring\/web_engine_worker\.ts$/,
};
/**
 * What joins many parts: a test that opens a model, or a backend, reaches them all through these.
 */
const MODELS = ["src/index.ts", "src/wiring/open.ts"];
const BACKENDS = ["src/backend/webgpu/webgpu.ts", "src/backend/cpu/cpu.ts"];
/**
 * A test that reaches one of these has a process of its own: drivers crash, and processes and pages
 * take their time. The conformance suite reserves address space for many WebAssembly memories.
 */
const APART = [
  "test/backend/conformance.ts",
  "test/support/adapters.ts",
  "src/backend/webgpu/device/node_gpu.ts",
  "node:child_process",
  "playwright-core",
];

const texts = new Map<string, string>();
const imports = new Map<string, readonly string[]>();
const closures = new Map<string, ReadonlySet<string>>();
let paths: readonly string[] | undefined;

function text(path: string): string {
  const known = texts.get(path);
  if (known !== undefined) return known;
  const found = readFileSync(new URL(path, root), "utf8");
  texts.set(path, found);
  return found;
}

/** Every file under src, kernels, bench and test, relative to the root. */
function files(): readonly string[] {
  paths ??= ["src", "kernels", "bench", "test"].flatMap((folder) =>
    readdirSync(new URL(folder, root), { recursive: true, encoding: "utf8" }).map(
      (path) => `${folder}/${path.replaceAll("\\", "/")}`,
    ),
  );
  return paths;
}

export function testFiles(): string[] {
  return files().filter((path) => path.endsWith(".test.ts"));
}

/**
 * The kernel files that an import stands for: itself, or all of that name in other folders, or with
 * "_" and more behind it.
 */
function standIns(path: string, ending: string): string[] {
  if (existsSync(new URL(path + ending, root))) return [path + ending];
  const [name, kind = ""] = posix.basename(path).split(".") as [string, string?];
  const end = (kind && `.${kind}`) + ending;
  const all = files().filter((file) => file.startsWith("kernels/") && file.endsWith(end));
  const found = all.filter((file) => {
    const base = posix.basename(file, end);
    return base === name || base.startsWith(`${name}_`);
  });
  return found.length > 0 ? found : all.filter((file) => file.startsWith("kernels/formats/"));
}

const WGSL_IMPORT = /^#import "([^"]+)\.wgsl"/gm;
const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s(?!type\b)(?:[^'";]*?\sfrom\s)?\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/g;

/**
 * What a file imports: paths relative to the root, "node:fs", or names of packages. Types
 * are not counted.
 */
function importsOf(path: string): readonly string[] {
  let found = imports.get(path);
  if (found) return found;
  const at = new URL(path, root);
  if (path.endsWith(".wgsl")) {
    found = [...text(path).matchAll(WGSL_IMPORT)].flatMap(([, name]) => standIns(`kernels/${name}`, ".wgsl"));
  } else if (GENERATED[path]) {
    found = files().filter((file) => GENERATED[path]!.test(file));
  } else if (!/\.(ts|mjs)$/.test(path) || !existsSync(at)) {
    found = [];
  } else {
    found = [...text(path).matchAll(IMPORT)].flatMap(([, fixed, late]) => {
      const name = (fixed ?? late)!;
      if (!name.startsWith(".")) return [name];
      const target = posix.join(posix.dirname(path), name);
      return path.endsWith(".simd.ts") ? standIns(target, ".ts") : [target];
    });
  }
  imports.set(path, found);
  return found;
}

/** All that a file depends on, itself too; what lies behind the files in `ends` is left out. */
function closure(path: string, ends: readonly string[] = []): ReadonlySet<string> {
  const key = [path, ...ends].join(" ");
  const known = closures.get(key);
  if (known) return known;
  const seen = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    if (!ends.includes(file)) for (const wanted of importsOf(file)) visit(wanted);
  };
  visit(path);
  closures.set(key, seen);
  return seen;
}

/**
 * Whether a test may run in one process after others: it reaches no driver, no other process, and
 * replaces nothing.
 */
export function mayShare(test: string): boolean {
  if (/\bvi\./.test(text(test))) return false;
  // Tests that open a model name the backends that they open it on by test/support/adapters.ts.
  const reached = closure(test, MODELS);
  return !APART.some((path) => reached.has(path));
}

/** The kernels whose files depend on a kernel's file: names as tests say them. */
export function kernelNames(path: string): string[] {
  const ending = path.endsWith(".wgsl") ? ".wgsl" : ".simd.ts";
  const kernels = files().filter((file) => posix.dirname(file) === "kernels" && file.endsWith(ending));
  return kernels
    .filter((kernel) => closure(kernel).has(path))
    .flatMap((kernel) =>
      ending === ".wgsl"
        ? [posix.basename(kernel, ending)]
        : [...text(kernel).matchAll(/^export function (\w+)/gm)].map(([, name]) => name!),
    );
}

/**
 * Tests of the kernels that a WGSL or SIMD file is part of, against their plain twins. wgsl_ways
 * takes the files that stand for an import beside others: a file that is imported by its own name
 * is judged without.
 */
function kernelTests(path: string): string[] {
  const names = kernelNames(path);
  if (names.length === 0) return [];
  const generated = Object.keys(GENERATED).find((file) => GENERATED[file]!.test(path))!;
  const named = new RegExp(`\\b(?:${names.join("|")})\\b`);
  const imported = `#import "${path.slice("kernels/".length)}"`;
  const ways =
    /^kernels\/.*\//.test(path) && !files().some((file) => file.endsWith(".wgsl") && text(file).includes(imported));
  const says = (file: string): boolean => file.startsWith("test/kernels/") && named.test(text(file));
  return testFiles().filter(
    (test) =>
      test.startsWith("test/kernels/") &&
      (ways || !test.endsWith("_ways.test.ts")) &&
      [test, ...importsOf(test)].some(says) &&
      closure(test).has(generated),
  );
}

/**
 * The tests that a changed file is judged by, for `vitest related`: of those that reach it and open
 * no model,
 * - the ones of its room (test/engine for src/engine) that reach it, but not only by a backend;
 * - the ones of other rooms that import it themselves, or whose support does.
 * Tests of its room that are named after it are always taken. Where there is none of these, all of
 * its room that reach it; where none does, because commands and pages are started from dist, all of
 * its room; else all that reach it, or that reach what starts it, of a worker. A kernel's file has
 * the tests of its kernels.
 */
export function relatedTests(path: string): string[] {
  if (path.endsWith(".test.ts")) return [path];
  if (/^kernels\/.*\.(wgsl|simd\.ts)$/.test(path)) {
    const found = kernelTests(path);
    if (found.length > 0) return found;
  }
  const folders = path.split("/").slice(0, -1);
  const room = `test/${folders[0] === "src" ? folders[1] : folders[0]}/`;
  const name = posix.basename(path).replace(/\.\w+$/, "");
  const isNamed = (test: string): boolean => {
    const own = posix.basename(test, ".test.ts");
    return test.startsWith(room) && (own === name || own.startsWith(`${name}_`));
  };
  const ends = room === "test/backend/" ? MODELS : [...MODELS, ...BACKENDS];
  const imports = (test: string): boolean =>
    importsOf(test).some((file) => file === path || (file.startsWith("test/") && importsOf(file).includes(path)));
  const reaching = testFiles().filter((test) => closure(test).has(path));
  const inRoom = (test: string): boolean => test.startsWith(room);
  const near = testFiles().filter((test) => {
    if (isNamed(test)) return true;
    if (!reaching.includes(test)) return false;
    if (MODELS.some((model) => closure(test).has(model))) return false;
    return inRoom(test) ? imports(test) || closure(test, ends).has(path) : imports(test) && mayShare(test);
  });
  const own = testFiles().filter(inRoom);
  const found = [near, reaching.filter(inRoom), own, reaching].find((tests) => tests.length > 0);
  return found ?? startersOf(path).flatMap(relatedTests);
}

/** The files that start a worker's file, which no file imports. */
function startersOf(path: string): string[] {
  const built = posix.basename(path).replace(/\.ts$/, ".js");
  const folder = posix.dirname(path);
  return files().filter(
    (file) => posix.dirname(file) === folder && file.endsWith(".ts") && text(file).includes(`new URL("./${built}"`),
  );
}
