// The packed package: what it holds, what tools for packages say of it, and what it is in an empty
// project.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createPackageFromTarballData } from "@arethetypeswrong/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "../support/cli.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { HUNG } from "../support/patience.ts";
import { attwFaults, publintFaults } from "./faults.ts";

/** What an installation may take on the disk. */
const MOST_BYTES = 120e6;

const project = mkdtempSync(join(tmpdir(), "hotset-package-"));
afterAll(() => rmSync(project, { recursive: true, force: true }));

function execute(cwd: string, command: string, ...args: string[]) {
  return spawnSync(command, args, { cwd, encoding: "utf8", timeout: HUNG });
}

/** The first TypeScript block of README's section "As a library". */
function libraryExample(): string {
  const section = /^#+ As a library\s*$([\s\S]*)/m.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1];
  const example = /^```ts\n([\s\S]*?)^```/m.exec(section ?? "")?.[1];
  if (example === undefined) throw new Error('README.md: expected a ```ts block under the heading "As a library"');
  return example;
}

const PAGE = `
import { type Files, open, openInWorker, type WorkerModel } from "hotset";
import { open as openThere } from "hotset/browser";
import { promptApi } from "hotset/prompt";
declare const picked: readonly File[];
declare const files: Files;
for (const model of [await open(picked), await open(files), await openThere("/models/tales")]) {
  const session = await promptApi(model).create({ samplingMode: "balanced" });
  const text: string = await session.prompt("Hello");
  document.title = text;
  await model.close();
}
const inWorker: WorkerModel = await openInWorker(picked, { onProgress: (done, total) => console.log(done / total) });
for await (const { text } of inWorker.session().generate("Once", { maxTokens: 4 })) document.body.append(text);
const { backend } = await inWorker.stats();
document.title = [backend.backend, ...inWorker.warnings].join(" ");
await inWorker.close();
`;

const registry = execute(root, "npm", "ping", "--fetch-retries=0", "--fetch-timeout=10000").status === 0;

/** The archive in the project, and the files in it. */
let archive = "";
let packed: readonly string[] = [];

beforeAll(() => {
  const pack = execute(root, "npm", "pack", "--json", "--pack-destination", project);
  expect(pack.stderr, pack.stderr).not.toMatch(/npm error/);
  const [made] = JSON.parse(pack.stdout) as [{ filename: string; files: { path: string }[] }];
  archive = made.filename;
  packed = made.files.map((file) => file.path);
});

describe("the packed package", () => {
  it("holds the code, its types, the small model and the licence, and no tests", () => {
    expect(packed).toEqual(
      expect.arrayContaining([
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "package.json",
        "dist/src/index.js",
        "dist/src/index.d.ts",
        "dist/src/cli/main.js",
        "models/tales/model.safetensors",
      ]),
    );
    expect(packed.filter((path) => /\.test\.|(^|\/)(test|bench)\//.test(path))).toEqual([]);
  });

  it.skipIf(leftToCi)(titled("has a package.json without faults, says publint", leftToCi), async () => {
    const tarball = new Uint8Array(readFileSync(join(project, archive))).buffer;
    expect(await publintFaults({ pack: { tarball } })).toEqual([]);
  });

  it.skipIf(leftToCi)(titled("has types for every way to resolve it, says attw", leftToCi), async () => {
    expect(await attwFaults(createPackageFromTarballData(readFileSync(join(project, archive))))).toEqual([]);
  });
});

const left = registry ? leftToCi : "skipped: no npm registry";
describe.skipIf(left)(titled("the packed package in an empty project", left), () => {
  /** Compiles a file of the project; hotset's .d.ts files are checked too. */
  function compile(file: string, compilerOptions: object): void {
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: [file] }));
    const manifest = JSON.parse(readFileSync(join(root, "node_modules/typescript/package.json"), "utf8"));
    const tsc = join(root, "node_modules/typescript", manifest.bin.tsc);
    const { status, stdout } = execute(project, process.execPath, tsc, "-p", ".");
    expect(status, stdout).toBe(0);
  }

  beforeAll(() => {
    writeFileSync(join(project, "package.json"), JSON.stringify({ name: "example", type: "module", private: true }));
    const options = ["--omit=optional", "--prefer-offline", "--no-audit", "--no-fund"];
    const install = execute(project, "npm", "install", ...options, archive);
    expect(install.status, install.stderr).toBe(0);
  });

  it(`takes less than ${MOST_BYTES / 1e6} MB without the optional package for GPUs`, () => {
    const sizes = new Map<string, number>();
    for (const entry of readdirSync(join(project, "node_modules"), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const name = path.slice(join(project, "node_modules/").length).split("/", path.includes("/@") ? 2 : 1);
      sizes.set(name.join("/"), (sizes.get(name.join("/")) ?? 0) + statSync(path).size);
    }
    const bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    const largest = [...sizes]
      .sort((a, b) => b[1] - a[1])
      .map(([name, size]) => `${name} ${(size / 1e6).toFixed(1)} MB`);
    expect(sizes.has("webgpu")).toBe(false);
    expect(bytes, largest.slice(0, 8).join(", ")).toBeLessThan(MOST_BYTES);
    expect(bytes).toBeGreaterThan(MOST_BYTES / 4); // models/tales alone
  });

  it("runs README's library example as printed, with types", () => {
    writeFileSync(join(project, "example.ts"), libraryExample());
    // Node's types from here; everything of hotset's own must come with the package (its .d.ts
    // files are checked too).
    const types = { types: ["node"], typeRoots: [join(root, "node_modules/@types")] };
    const compilerOptions = { module: "nodenext", target: "es2023", strict: true, lib: ["es2023", "dom"], ...types };
    compile("example.ts", compilerOptions);
    const run = execute(project, process.execPath, "example.js");
    expect(run.status, run.stderr).toBe(0);
    expect(run.stdout.length).toBeGreaterThan(20);
  });

  it("has a page's types for a page", () => {
    writeFileSync(join(project, "page.ts"), PAGE);
    const bundler = { module: "esnext", moduleResolution: "bundler", customConditions: ["browser"], noEmit: true };
    compile("page.ts", { ...bundler, target: "es2023", strict: true, lib: ["es2023", "dom"], types: [] });
  });

  it("has the adapters", () => {
    const code =
      'import { hotset } from "hotset/ai"; import { promptApi } from "hotset/prompt"; console.log(typeof hotset, typeof promptApi);';
    const run = execute(project, process.execPath, "--input-type=module", "-e", code);
    expect(run.stdout, run.stderr).toBe("function function\n");
  });

  it("brings the command", () => {
    expect(readdirSync(join(project, "node_modules/.bin"))).toContain("hotset");
    const story = ["-p", "Once", "-n", "4", "--backend", "cpu", "--quiet"];
    const model = join("node_modules", "hotset", "models", "tales");
    const devices = execute(project, "npx", "--no-install", "hotset", "devices");
    expect(devices.stdout, devices.stderr).toContain("the optional package webgpu is not installed");
    const run = execute(project, "npx", "--no-install", "hotset", "generate", model, ...story);
    expect(run.status, run.stderr).toBe(0);
    expect(run.stdout.trim()).not.toBe("");
  });
});
