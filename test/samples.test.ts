// Every sample in the documentation: TypeScript is compiled and run, commands are parsed by the
// program itself.

import { execFileSync, spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createProgram } from "../src/cli/commands.ts";
import { importsOf, noChromium, openSite, pageOf } from "./support/chromium.ts";
import { root, tales } from "./support/cli.ts";
import { titled } from "./support/fixtures.ts";
import { hubServer } from "./support/hub_server.ts";
import { HUNG } from "./support/patience.ts";
import { commandsOf, inlineCode, type Sample, samplesOf } from "./support/samples.ts";
import { some } from "./support/some.ts";

const read = (page: string): string => readFileSync(join(root, page), "utf8");
const pages = execFileSync("git", ["ls-files", "-co", "--exclude-standard", "*.md"], { cwd: root, encoding: "utf8" })
  .split("\n")
  .filter((page) => page !== "" && existsSync(join(root, page)) && page !== "CHANGELOG.md");
const samples = pages.flatMap((page) => samplesOf(page, read(page)));
const title = ({ page, line }: Sample): string => `${page}:${line}`;

/** What stands for a placeholder that only some values may replace. */
const PLACEHOLDERS: Readonly<Record<string, string>> = { "<mix>": "standard" };

/** The options and arguments of a command are read, and nothing is done. */
async function parse(words: readonly string[]): Promise<void> {
  const program = createProgram("0").configureOutput({ writeErr: () => {}, writeOut: () => {} });
  for (const command of program.commands) command.action(() => {}).configureOutput({ writeErr: () => {} });
  await program.parseAsync(words, { from: "user" });
}

/** Options of other programs, which the documentation names alone. */
const OTHERS = [
  // Kubernetes' endpoint picker
  "--total-queued-requests-metric",
  "--kv-cache-usage-percentage-metric",
];

describe("a shell's text", () => {
  it.each<[string, string[][]]>([
    ["a b  # c", [["a", "b"]]],
    ['a "b c" \'d "e"\' f\\ g', [["a", "b c", 'd "e"', "f g"]]],
    ["a \\\n  b\nc", [["a", "b"], ["c"]]],
    ["a | b && c; d", [["a"], ["b"], ["c"], ["d"]]],
    ["X=1 a b#c", [["a", "b#c"]]],
  ])("%s", (text, words) => {
    expect(commandsOf(text)).toEqual(words);
  });
});

describe("commands in the documentation", () => {
  const shell = samples.filter(({ language }) => ["", "sh", "bash", "console"].includes(language));
  const commands = shell.flatMap((sample) => commandsOf(sample.text).map((words) => ({ sample, words })));
  const own = commands.flatMap(({ sample, words }) => {
    const start = words.findIndex((word) => word === "hotset" || word === "dist/src/cli/main.js");
    const named = start === 0 || (start === 1 && /^(npx|node)$/.test(words[0]!));
    return named ? [[`${title(sample)} ${words.join(" ")}`, words.slice(start + 1)] as const] : [];
  });

  it.each(own)("%s", async (_, words) => {
    await parse(words.map((word) => PLACEHOLDERS[word] ?? word));
  });

  it("are many, and one with an unknown option is refused", async () => {
    expect(own.length).toBeGreaterThan(25);
    await expect(parse(["generate", "models/tales", "--unknown"])).rejects.toThrow("unknown option '--unknown'");
    await expect(parse(["generate", "models/tales", "--kv", "f99"])).rejects.toThrow();
    await expect(parse(["unknown"])).rejects.toThrow();
  });

  it("name test files that exist", () => {
    const files = commands.flatMap(({ words }) => words.filter((word) => /^test\/[\w/.]+\.(ts|mjs)$/.test(word)));
    expect(files.length).toBeGreaterThan(8);
    expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  });

  it("name scripts of package.json", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Readonly<Record<string, string>> };
    const named = commands.flatMap(({ words: [npm, run, name] }) => (npm === "npm" && run === "run" ? [name!] : []));
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });

  it("in sentences too: every command and option that a room of src names is one", () => {
    const program = createProgram("0");
    const options = new Set(["--help", ...OTHERS, ...program.options.map(({ long }) => long)]);
    for (const command of program.commands) for (const { long } of command.options) options.add(long!);
    const names = new Set(program.commands.flatMap((command) => [command.name(), ...command.aliases()]));
    const rooms = pages.filter((page) => page === "README.md" || page === "ARCHITECTURE.md" || /^src\//.test(page));
    const code = rooms.flatMap((page) => inlineCode(read(page)).map((text) => ({ page, text })));
    const wrong = code.flatMap(({ page, text }) => {
      const command = /^hotset (\w+)/.exec(text)?.[1];
      const unknown = [...text.matchAll(/(?<=^|[\s([])--[a-z][\w-]*/g)].map(([option]) => option);
      const found =
        text.startsWith("hotset") || text.startsWith("--") ? unknown.filter((one) => !options.has(one)) : [];
      if (command !== undefined && !names.has(command)) found.push(command);
      return found.map((one) => `${page}: ${one} in \`${text}\``);
    });
    expect(wrong).toEqual([]);
    expect(code.filter(({ text }) => text.startsWith("--")).length).toBeGreaterThan(20);
  });
});

/** Names in samples for which the hub on loopback has models/tales. */
const ON_HUB = ["Qwen/Qwen3-30B-A3B"];

/** The address of a hub, which ends with the test. */
async function hub(): Promise<string> {
  const files = Object.fromEntries(
    readdirSync(join(root, tales)).map((file) => [file, readFileSync(join(root, tales, file))]),
  );
  return (await hubServer(Object.fromEntries(ON_HUB.map((repo) => [repo, { files }])))).endpoint;
}

describe("TypeScript in the documentation", () => {
  const all = samples.filter(({ language }) => language === "ts");
  /** Packages that a sample imports and that are not here; .ci/run installs them beside. */
  const others = (sample: Sample): string[] =>
    [...sample.text.matchAll(/from "((?:@[\w-]+\/)?[\w-]+)/g)]
      .map(([, name]) => name!)
      .filter((name) => name !== "hotset" && !existsSync(join(root, "node_modules", name)));
  const beside = (name: string): string => join(root, "dist/adapters/node_modules", name);
  const missing = (sample: Sample): string[] => others(sample).filter((name) => !existsSync(beside(name)));
  const typescript = all.filter((sample) => missing(sample).length === 0);
  const inNode = typescript.filter(({ text }) => !text.includes('from "hotset/browser"'));
  const project = mkdtempSync(join(root, "dist/samples-"));
  const name = (sample: Sample): string => title(sample).replace(/\W+/g, "_");
  afterAll(() => rmSync(project, { recursive: true, force: true }));

  beforeAll(() => {
    mkdirSync(join(project, "node_modules"));
    symlinkSync(root, join(project, "node_modules/hotset"));
    symlinkSync(join(root, "models"), join(project, "models"));
    for (const name of new Set(typescript.flatMap(others)))
      symlinkSync(beside(name), join(project, "node_modules", name));
    writeFileSync(join(project, "package.json"), '{ "type": "module" }');
    for (const sample of typescript) writeFileSync(join(project, `${name(sample)}.ts`), `${sample.text}\nexport {};\n`);
    const types = {
      types: ["node", "@webgpu/types"],
      typeRoots: [join(root, "node_modules/@types"), join(root, "node_modules")],
    };
    const compilerOptions = {
      module: "nodenext",
      target: "es2023",
      strict: true,
      lib: ["es2023", "dom"],
      skipLibCheck: true,
      ...types,
    };
    writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  });

  it("compiles", () => {
    const { bin } = JSON.parse(read("node_modules/typescript/package.json")) as { bin: { tsc: string } };
    try {
      execFileSync(process.execPath, [join(root, "node_modules/typescript", bin.tsc), "-p", project], {
        encoding: "utf8",
      });
    } catch (error) {
      expect((error as { stdout: string }).stdout).toBe("");
    }
    expect(readdirSync(project).filter((file) => file.endsWith(".js"))).toHaveLength(typescript.length);
    expect(inNode.length).toBeGreaterThan(2);
  });

  for (const sample of all.filter((one) => !typescript.includes(one)))
    it.skip(
      titled(title(sample), `skipped: ${missing(sample)} is not installed in dist/adapters, as .ci/run does`),
      () => {},
    );

  const inPage = typescript.filter((sample) => !inNode.includes(sample));
  it.skipIf(noChromium).each(
    some(
      inPage.map((sample) => [title(sample), sample] as const),
      0,
    ),
  )(titled("%s runs in a page", noChromium), async (_, sample) => {
    const { exports } = JSON.parse(read("package.json")) as { exports: Record<string, { default?: string }> };
    const own = Object.entries(exports).map(([entry, { default: file }]) => [
      `hotset${entry.slice(1)}`,
      file?.slice(1),
    ]);
    const imports = {
      ...importsOf(["@huggingface/tokenizers"]),
      ...Object.fromEntries(own),
    };
    const endpoint = JSON.stringify(await hub());
    const script = readFileSync(join(project, `${name(sample)}.js`), "utf8")
      .replace("export {};", "")
      .replace(/(await pull\("[^"]+", \{)/, `$1 endpoint: ${endpoint}, `);
    const site = await openSite(pageOf(imports, `${script}\nglobalThis.ready = true;`));
    try {
      expect((await site.visit("/isolated")).problems).toEqual([]);
    } finally {
      await site.close();
    }
  });

  it.each(
    some(
      inNode.map((sample) => [title(sample), sample] as const),
      2,
    ),
  )("%s runs", async (_, sample) => {
    const endpoint = await hub();
    const env = {
      ...process.env,
      HF_ENDPOINT: endpoint,
      HF_HOME: join(project, "hub"),
      HF_TOKEN: "",
      HF_HUB_CACHE: "",
    };
    const child = spawn(process.execPath, [`${name(sample)}.js`], { cwd: project, env, timeout: HUNG });
    let errors = "";
    child.stderr.on("data", (chunk) => {
      errors += chunk;
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect({ code, errors }).toEqual({ code: 0, errors: "" });
  });
});
