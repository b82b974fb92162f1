// `node dist/bench/gpu/pack.js <folder>`: packs everything that run.sh needs on a bare machine into
// one folder.
//
// `--llama <folder>` adds llama.cpp's Vulkan build, from the npm package
// @node-llama-cpp/linux-x64-vulkan installed there.

import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { formatBytes } from "../../src/cli/output.ts";
import { peerPackage } from "../peers/packages.ts";
import { commit } from "../result.ts";
import { llamaFiles } from "./llama_addon.ts";
import { PACKAGE } from "./llama_command.ts";

// This file runs as dist/bench/gpu/pack.js.
const root = new URL("../../../", import.meta.url);
const at = (path: string): string => fileURLToPath(new URL(path, root));

const LIBRARIES = "/usr/lib/x86_64-linux-gnu";
/** The Vulkan loader, and libraries that drivers and Dawn need, used if the machine has none. */
const CARRIED = [
  ...["libvulkan.so.1", "libstdc++.so.6", "libgcc_s.so.1"],
  ...["libGLdispatch.so.0", "libGLX.so.0", "libEGL.so.1", "libGL.so.1", "libOpenGL.so.0"],
  ...["libX11.so.6", "libXext.so.6", "libxcb.so.1", "libXau.so.6", "libXdmcp.so.6", "libbsd.so.0", "libmd.so.0"],
];
const SUITES = ["dist/test/backend/webgpu.test.js", "dist/test/backend/webgpu_profile.test.js"];
const HOST = "dist/test/support/node_host.js";
const TINY =
  "synthetic:mixtral-8x7b?layers=1&hidden_size=64&intermediate_size=64&vocab_size=64&num_attention_heads=2&num_key_value_heads=1";

/** The commands of run.sh, with arguments that load the same modules and do almost nothing. */
const STARTS = [
  ["dist/src/cli/main.js", "bench", TINY, "--backend", "cpu", "--prompt-tokens", "1", "--decode-tokens", "1"],
  ["dist/bench/gpu/profile.js", "--model", TINY, "--contexts", "", "--prompts", "", "--out", "/dev/null"],
  [
    "dist/bench/gpu/residency.js",
    "--model",
    TINY,
    "--tokens",
    "1",
    "--warm-up",
    "1",
    "--rounds",
    "1",
    "--out",
    "/dev/null",
  ],
  [HOST, "--list", ...SUITES],
];

interface PackageJson {
  readonly dependencies?: Readonly<Record<string, string>>;
}

const { values: flags, positionals } = parseArgs({ allowPositionals: true, options: { llama: { type: "string" } } });
const [folder, ...rest] = positionals;
if (folder === undefined || rest.length > 0 || process.platform !== "linux" || process.arch !== "x64") {
  console.error("usage, on Linux x64 after `npm run build`: node dist/bench/gpu/pack.js [--llama <folder>] <folder>");
  process.exit(2);
}
for (const [path] of STARTS)
  if (!existsSync(at(path!))) throw new Error(`${path} is missing: run \`npm run build\` first`);

mkdirSync(join(folder, "lib"), { recursive: true });
carry("node", stripped(process.execPath));
carry("dawn.node", stripped(at("node_modules/webgpu/dist/linux-x64/dawn.node")));
carry("app.tar", archive());
if (flags.llama === undefined) drop("llama.tar");
else carry("llama.tar", llamaArchive(flags.llama));
for (const name of CARRIED)
  if (existsSync(join(LIBRARIES, name))) copyFileSync(realpathSync(join(LIBRARIES, name)), join(folder, "lib", name));
copyFileSync(at("bench/gpu/run.sh"), join(folder, "run.sh"));
const git = commit(root);
writeFileSync(join(folder, "commit.txt"), `${git.id ?? "unknown"}${git.dirty ? " with changes" : ""}\n`);
console.log(`${formatBytes(size(folder))} in ${folder}`);

/** A program or library without its symbols, if `strip` is installed. */
function stripped(path: string): Buffer {
  const copy = join(mkdtempSync(join(tmpdir(), "hotset-pack-")), basename(path));
  copyFileSync(path, copy);
  if (spawnSync("strip", [copy]).status !== 0) console.error(`${path}: carried with its symbols, there is no strip`);
  const bytes = readFileSync(copy);
  rmSync(join(copy, ".."), { recursive: true });
  return bytes;
}

/** Writes a file as .xz, or as .gz without xz; unchanged contents are not compressed again. */
function carry(name: string, contents: Buffer): void {
  const stamp = join(folder!, `.${name}.size`);
  const digest = `${contents.length} ${checksum(contents)}`;
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return;
  drop(name);
  const { status, stdout } = spawnSync("xz", ["-T0", "-6", "-c"], { input: contents, maxBuffer: 2 ** 28 });
  if (status === 0) writeFileSync(join(folder!, `${name}.xz`), stdout);
  else writeFileSync(join(folder!, `${name}.gz`), gzipSync(contents, { level: 9 }));
  writeFileSync(stamp, digest);
}

/** Removes the files of an earlier call. */
function drop(name: string): void {
  for (const path of [`${name}.xz`, `${name}.gz`, `.${name}.size`]) rmSync(join(folder!, path), { force: true });
}

/** FNV-1a over the words. */
function checksum(contents: Buffer): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i + 4 <= contents.length; i += 4) hash = Math.imul(hash ^ contents.readInt32LE(i), 0x01000193);
  return hash >>> 0;
}

/** dist without types and maps, and the packages that STARTS load, as a tar. */
function archive(): Buffer {
  const stage = mkdtempSync(join(tmpdir(), "hotset-pack-"));
  const code = (path: string): boolean => !/\.(map|d\.ts|d\.mts|d\.cts|md)$/.test(path);
  for (const part of ["src", "kernels", "bench", "test"])
    cpSync(at(`dist/${part}`), join(stage, "dist", part), { recursive: true, filter: code });
  copyFileSync(at("package.json"), join(stage, "package.json"));
  for (const name of loadedPackages()) {
    const from = realpathSync(at(`node_modules/${name}`));
    const binaries = join(from, "dist"); // webgpu's Dawn for every platform; ours is packed separately
    const filter = (path: string): boolean => code(path) && !(name === "webgpu" && path.startsWith(binaries));
    cpSync(from, join(stage, "node_modules", name), { recursive: true, filter });
  }
  return tar(stage);
}

/**
 * llama.cpp's libraries, without symbols, where the package is in a node_modules. `base`: a folder
 * with one.
 */
function llamaArchive(base: string): Buffer {
  const from = peerPackage(pathToFileURL(`${resolve(base)}/`), PACKAGE).folder;
  const stage = mkdtempSync(join(tmpdir(), "hotset-pack-"));
  for (const name of llamaFiles(from)) {
    const to = join(stage, "node_modules", PACKAGE, name);
    mkdirSync(dirname(to), { recursive: true });
    if (/\.(so|node)$/.test(name)) writeFileSync(to, stripped(join(from, name)));
    else copyFileSync(join(from, name), to);
  }
  return tar(stage);
}

/** A folder's contents as a tar, the same bytes for the same contents; the folder is removed. */
function tar(stage: string): Buffer {
  const { status, stdout, stderr } = spawnSync("tar", ["-C", stage, "-cf", "-", "--mtime=@0", "--sort=name", "."], {
    maxBuffer: 2 ** 28,
  });
  rmSync(stage, { recursive: true });
  if (status !== 0) throw new Error(`tar: ${stderr}`);
  return stdout;
}

/** Names of the packages whose modules STARTS import, and of what those depend on in turn. */
function loadedPackages(): Set<string> {
  const trace = join(mkdtempSync(join(tmpdir(), "hotset-pack-")), "trace");
  writeFileSync(trace, "");
  const hook = `import { appendFileSync } from "node:fs";
    export async function resolve(name, context, next) {
      const found = await next(name, context);
      appendFileSync(${JSON.stringify(trace)}, found.url + "\\n");
      return found;
    }`;
  const register = `import { register } from "node:module"; register(${JSON.stringify(dataUrl(hook))});`;
  for (const args of STARTS) {
    const { status, stderr } = spawnSync(process.execPath, ["--import", dataUrl(register), ...args], {
      cwd: root,
      encoding: "utf8",
    });
    if (status !== 0) console.error(`${args[0]}: exit code ${status} while its modules were listed: ${stderr.trim()}`);
  }
  const names = new Set<string>();
  for (const url of readFileSync(trace, "utf8").split("\n")) {
    const name = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1];
    if (name !== undefined) names.add(name);
  }
  rmSync(join(trace, ".."), { recursive: true });
  // The trace lacks what CommonJS requires. A set that is read takes in what is added.
  for (const name of names)
    for (const needed of Object.keys(dependencies(name)))
      if (existsSync(at(`node_modules/${needed}`))) names.add(needed);
  return names;
}

function dependencies(name: string): Readonly<Record<string, string>> {
  const about = JSON.parse(readFileSync(at(`node_modules/${name}/package.json`), "utf8")) as PackageJson;
  return about.dependencies ?? {};
}

function dataUrl(code: string): string {
  return `data:text/javascript,${encodeURIComponent(code)}`;
}

function size(path: string): number {
  return Number(spawnSync("du", ["-sb", path], { encoding: "utf8" }).stdout.split("\t")[0]);
}
