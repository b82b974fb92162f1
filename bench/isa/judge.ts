// Compiles kernels to the machine code of GPUs that are not there, and counts in it: Dawn's SPIR-V
// by Mesa's RADV for a generation of AMD's, through a driver of our own (driver.c) that runs
// nothing.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Work, workOf } from "./amd.ts";
import type { Compilation, Compiled, Order } from "./worker.ts";

/** A kernel's machine code in numbers. */
export interface Verdict {
  /** Generation, as RADV_FORCE_FAMILY has it: "navi31". */
  readonly family: string;
  /** With the checks of a page, or without, as in Node. */
  readonly checks: "page" | "none";
  /** Kernel and variant in words, as "matmul_vec q4 f32 tree". */
  readonly kernel: string;
  readonly constants: Readonly<Record<string, number>>;
  /** Lanes of a subgroup. */
  readonly subgroup: number;
  readonly vgprs: number;
  readonly sgprs: number;
  /** Registers that are kept in memory, and bytes of memory a lane for them and for arrays. */
  readonly spilledVgprs: number;
  readonly spilledSgprs: number;
  readonly scratchBytes: number;
  /** Bytes of workgroup memory. */
  readonly ldsBytes: number;
  /** Subgroups that a SIMD unit holds at once. */
  readonly waves: number;
  readonly codeBytes: number;
  /** The compiler's estimates: cycles of a subgroup, and cycles that it takes of a SIMD unit. */
  readonly latency: number;
  readonly inverseThroughput: number;
  /** The whole, each instruction once; and an iteration of each innermost loop. */
  readonly whole: Work;
  readonly loops: readonly Work[];
}

/** A kernel that was not compiled. */
export interface Refused {
  readonly family: string;
  readonly checks: "page" | "none";
  readonly kernel: string;
  readonly error: string;
}

export interface Judgement {
  /** Name of the adapter of each family, in which the driver's version is. */
  readonly adapters: Readonly<Record<string, string>>;
  readonly verdicts: readonly Verdict[];
  readonly refused: readonly Refused[];
}

const MESA = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

interface Manifest {
  readonly library: string;
  readonly version: string;
}

/** The manifest of Mesa's driver for AMD; null where it is not installed. */
function manifest(): Manifest | null {
  for (const folder of MESA.filter(existsSync)) {
    const file = readdirSync(folder).find((name) => /^radeon_icd.*\.json$/.test(name));
    if (file === undefined) continue;
    const { ICD } = JSON.parse(readFileSync(join(folder, file), "utf8"));
    const path: string = ICD.library_path;
    // A name alone is looked for where all libraries are; other paths start at the manifest.
    const library = path.includes("/") && !isAbsolute(path) ? resolve(folder, path) : path;
    return { library, version: ICD.api_version };
  }
  return null;
}

const compiler = ["cc", "gcc", "clang"].find((name) => spawnSync(name, ["--version"]).status === 0);

/** What this machine lacks to judge kernels, in words; null if nothing. */
export function missing(): string | null {
  if (process.platform !== "linux") return "Mesa's drivers, which Linux has";
  if (!manifest()) return "Mesa's RADV (Debian: mesa-vulkan-drivers; on Debian 12 from bookworm-backports)";
  if (compiler === undefined) return "a C compiler (Debian: gcc and libc6-dev)";
  return null;
}

export interface JudgeOptions extends Omit<Order, "page" | "folder"> {
  readonly families: readonly string[];
  readonly checks: readonly ("page" | "none")[];
  /** Keeps the machine code of each kernel here. */
  readonly keep?: string | undefined;
  readonly onCompiled?: (family: string, checks: "page" | "none", kernels: number, seconds: number) => void;
}

/**
 * Compiles and counts.
 * @param root of the checkout
 * @throws Error in words where that is impossible
 */
export function judge(root: URL, options: JudgeOptions): Judgement {
  const lacking = missing();
  if (lacking !== null) throw new Error(`this machine lacks ${lacking}`);
  const folder = mkdtempSync(join(tmpdir(), "hotset-isa-"));
  try {
    const driver = buildDriver(root, folder);
    const adapters: Record<string, string> = {};
    const verdicts: Verdict[] = [];
    const refused: Refused[] = [];
    for (const family of options.families)
      for (const checks of options.checks) {
        const started = performance.now();
        const own = join(folder, `${family}-${checks}`);
        mkdirSync(own);
        const { model, formats, arithmetics, reductions, tiles, kernels, rows } = options;
        const wanted = { model, formats, arithmetics, reductions, tiles, kernels, rows };
        const order = { ...wanted, page: checks === "page", folder: own };
        const { adapter, compiled } = compile(root, driver, family, order);
        adapters[family] = adapter;
        for (const one of compiled) {
          const { kernel, file, error } = one;
          if (file === null) refused.push({ family, checks, kernel, error: error ?? "" });
          else
            verdicts.push({ family, checks, ...verdictOf(one, join(own, file), options.keep, `${family} ${checks}`) });
        }
        options.onCompiled?.(family, checks, compiled.length, (performance.now() - started) / 1000);
      }
    return { adapters, verdicts, refused };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Compiles driver.c; returns its manifest. */
function buildDriver(root: URL, folder: string): string {
  const { version } = manifest()!;
  const library = join(folder, "driver.so");
  const source = fileURLToPath(new URL("bench/isa/driver.c", root));
  const built = spawnSync(compiler!, ["-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], { encoding: "utf8" });
  if (built.status !== 0) throw new Error(`${source} does not compile: ${built.stderr}`);
  const file = join(folder, "driver.json");
  writeFileSync(
    file,
    JSON.stringify({ file_format_version: "1.0.0", ICD: { library_path: library, api_version: version } }),
  );
  return file;
}

function compile(root: URL, driver: string, family: string, order: Order): Compilation {
  const worker = fileURLToPath(new URL("dist/bench/isa/worker.js", root));
  const { status, signal, stderr } = spawnSync(process.execPath, [worker, JSON.stringify(order)], {
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
    maxBuffer: 2 ** 26,
    env: {
      ...process.env,
      VK_DRIVER_FILES: driver,
      VK_ICD_FILENAMES: driver, // for loaders before 1.3.207
      HOTSET_ISA_DRIVER: manifest()!.library,
      HOTSET_ISA_FOLDER: order.folder,
      RADV_FORCE_FAMILY: family,
      MESA_SHADER_CACHE_DISABLE: "true",
    },
  });
  const result = join(order.folder, "compilation.json");
  if (status === 0 && existsSync(result)) return JSON.parse(readFileSync(result, "utf8")) as Compilation;
  throw new Error(
    `kernels were not compiled for ${family} (${signal ?? `exit code ${status}`}): ${stderr.slice(-2000)}`,
  );
}

/** @param keep a folder for the machine code, or undefined */
function verdictOf(
  { kernel, constants }: Compiled,
  file: string,
  keep: string | undefined,
  where: string,
): Omit<Verdict, "family" | "checks"> {
  const { subgroup, statistics, texts } = parse(readFileSync(file));
  const assembly = texts.get("Assembly") ?? "";
  if (assembly === "") throw new Error(`${kernel}: the driver gave no machine code, but ${[...texts.keys()]}`);
  if (keep !== undefined) {
    const name = [where, kernel, ...Object.entries(constants).flat()].join(" ").replaceAll(" ", "_");
    mkdirSync(keep, { recursive: true });
    writeFileSync(join(keep, `${name}.s`), assembly);
  }
  const of = (name: string): number => {
    const value = statistics.get(name);
    if (value === undefined) throw new Error(`${kernel}: no "${name}" among ${[...statistics.keys()]}`);
    return value;
  };
  return {
    kernel,
    constants,
    subgroup,
    vgprs: of("VGPRs"),
    sgprs: of("SGPRs"),
    spilledVgprs: of("Spilled VGPRs"),
    spilledSgprs: of("Spilled SGPRs"),
    scratchBytes: of("Scratch size"),
    ldsBytes: of("LDS size"),
    waves: of("Subgroups per SIMD"),
    codeBytes: of("Code size"),
    latency: of("Latency"),
    inverseThroughput: of("Inverse Throughput"),
    ...workOf(assembly),
  };
}

/** Reads a file of driver.c. */
export function parse(bytes: Buffer): {
  readonly subgroup: number;
  readonly statistics: ReadonlyMap<string, number>;
  readonly texts: ReadonlyMap<string, string>;
} {
  const statistics = new Map<string, number>();
  const texts = new Map<string, string>();
  let subgroup = 0;
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf("\n", at);
    const line = bytes.toString("utf8", at, end);
    at = end + 1;
    const [word, rest] = [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1)];
    if (word === "executable") subgroup = Number(rest);
    else if (word === "statistic") {
      const [name, value] = rest.split("\t");
      statistics.set(name!, Number(value));
    } else if (word === "text") {
      const [, length, name] = /^(\d+) (.*)$/.exec(rest)!;
      texts.set(name!, bytes.toString("utf8", at, at + Number(length)));
      at += Number(length) + 1;
    } else throw new Error(`expected a line of driver.c, found ${JSON.stringify(line)}`);
  }
  return { subgroup, statistics, texts };
}
