// Compiles kernels to the machine code of GPUs that are not there, and counts in it: Dawn's SPIR-V
// by Mesa's drivers, through a driver of our own (driver.c) that runs nothing.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { driverOf, type Family, type Figures, makerOf } from "./makers.ts";
import type { Works } from "./work.ts";
import type { Compilation, Compiled, Order } from "./worker.ts";

/** With the checks of a page, or without, as in Node. */
export type Checks = "page" | "none";

/** A kernel's machine code in numbers. */
export interface Verdict extends Figures, Works {
  readonly family: Family;
  readonly checks: Checks;
  /** Kernel and variant in words, as "matmul_vec q4 f32 tree". */
  readonly kernel: string;
  readonly constants: Readonly<Record<string, number>>;
  /** Lanes of a subgroup. */
  readonly subgroup: number;
}

/** A kernel that was not compiled. */
export interface Refused extends Pick<Verdict, "family" | "checks" | "kernel"> {
  readonly error: string;
}

export interface Judgement {
  /** Name of the adapter of each family, in which the driver's version is. */
  readonly adapters: Readonly<Record<string, string>>;
  readonly verdicts: readonly Verdict[];
  readonly refused: readonly Refused[];
}

/** The machine's C compiler. */
const compiler = (): string | undefined =>
  ["cc", "gcc", "clang"].find((name) => spawnSync(name, ["--version"]).status === 0);

/** What this machine lacks to judge kernels for a family, in words; null if nothing. */
export function missing(family: Family): string | null {
  if (process.platform !== "linux") return "Mesa's drivers, which Linux has";
  const maker = makerOf(family);
  if (!driverOf(maker)) return `${maker.name} (Debian: mesa-vulkan-drivers; on Debian 12 from bookworm-backports)`;
  if (compiler() === undefined) return "a C compiler (Debian: gcc and libc6-dev)";
  return null;
}

export interface JudgeOptions extends Omit<Order, "page" | "folder"> {
  readonly families: readonly Family[];
  readonly checks: readonly Checks[];
  /** Keeps the machine code of each kernel here. */
  readonly keep?: string | undefined;
  readonly onCompiled?: (family: Family, checks: Checks, kernels: number, seconds: number) => void;
}

/**
 * Compiles and counts.
 * @param root of the checkout
 * @throws Error in words where that is impossible
 */
export function judge(root: URL, options: JudgeOptions): Judgement {
  const { families, checks, keep, onCompiled, ...wanted } = options;
  const lacking = families.map(missing).find((what) => what !== null);
  if (lacking) throw new Error(`this machine lacks ${lacking}`);
  const folder = mkdtempSync(join(tmpdir(), "hotset-isa-"));
  try {
    const adapters: Record<string, string> = {};
    const verdicts: Verdict[] = [];
    const refused: Refused[] = [];
    for (const [family, check] of families.flatMap((family) => checks.map((check) => [family, check] as const))) {
      const started = performance.now();
      const own = join(folder, `${family}-${check}`);
      mkdirSync(own);
      const { adapter, compiled } = compile(root, family, { ...wanted, page: check === "page", folder: own });
      adapters[family] = adapter;
      for (const one of compiled) {
        const where = { family, checks: check, kernel: one.kernel };
        if (one.file === null) refused.push({ ...where, error: one.error ?? "" });
        else
          verdicts.push({
            ...where,
            ...verdictOf(family, one, join(own, one.file), keep && join(keep, family, check)),
          });
      }
      onCompiled?.(family, check, compiled.length, (performance.now() - started) / 1000);
    }
    return { adapters, verdicts, refused };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Compiles a C file of this folder to a library in another one. */
function library(root: URL, name: string, folder: string): string {
  const made = join(folder, `${name}.so`);
  const source = fileURLToPath(new URL(`bench/isa/${name}`, root));
  const { status, stderr } = spawnSync(compiler()!, ["-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${source} does not compile: ${stderr}`);
  return made;
}

function compile(root: URL, family: Family, order: Order): Compilation {
  const { folder } = order;
  const maker = makerOf(family);
  const driver = driverOf(maker)!;
  const manifest = join(folder, "driver.json");
  const ICD = { library_path: library(root, "driver.c", folder), api_version: driver.version };
  writeFileSync(manifest, JSON.stringify({ file_format_version: "1.0.0", ICD }));
  const worker = fileURLToPath(new URL("dist/bench/isa/worker.js", root));
  const { status, signal, stderr } = spawnSync(process.execPath, [worker, JSON.stringify(order)], {
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
    maxBuffer: 2 ** 26,
    env: {
      ...process.env,
      VK_DRIVER_FILES: manifest,
      VK_ICD_FILENAMES: manifest, // for loaders before 1.3.207
      HOTSET_ISA_DRIVER: driver.object,
      HOTSET_ISA_FOLDER: folder,
      MESA_SHADER_CACHE_DISABLE: "true",
      ...maker.env(family),
      ...(maker.device && { LD_PRELOAD: library(root, maker.device, folder) }),
    },
  });
  const result = join(folder, "compilation.json");
  if (status === 0 && existsSync(result)) return JSON.parse(readFileSync(result, "utf8")) as Compilation;
  throw new Error(
    `kernels were not compiled for ${family} (${signal ?? `exit code ${status}`}): ${stderr.slice(-2000)}`,
  );
}

/** @param keep a folder for the machine code, or undefined */
function verdictOf(
  family: Family,
  { kernel, constants }: Compiled,
  file: string,
  keep: string | undefined,
): Omit<Verdict, "family" | "checks" | "kernel"> {
  const maker = makerOf(family);
  const { subgroup, statistics, texts } = parse(readFileSync(file));
  const assembly = texts.get(maker.assembly);
  if (!assembly) throw new Error(`${kernel}: ${maker.name} gave no machine code, but ${[...texts.keys()].join(", ")}`);
  if (keep !== undefined) {
    const name = [kernel, ...Object.entries(constants).flat()].join(" ").replaceAll(" ", "_");
    mkdirSync(keep, { recursive: true });
    writeFileSync(join(keep, `${name}.s`), assembly);
  }
  const statistic = (name: string): number => {
    const value = statistics.get(name);
    if (value === undefined) throw new Error(`${kernel}: no "${name}" among ${[...statistics.keys()].join(", ")}`);
    return value;
  };
  return { constants, subgroup, ...maker.figures(statistic), ...maker.works(assembly, subgroup) };
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
