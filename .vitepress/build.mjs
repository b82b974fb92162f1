// `npm run docs`: a site of the READMEs and of the docstrings of the public API, in
// dist/docs/site. `npm run docs -- serve` shows it at a loopback address.
//
// Its packages are installed in dist/docs, apart from the rest (package.json here says why). A name
// without a docstring, a type that is not exported, and a link that leads nowhere are errors.

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const at = (...parts) => join(root, ...parts);
const here = (name) => at(".vitepress", name);
const out = (...parts) => at("dist/docs", ...parts);
const PAGES = out("pages");

/**
 * What types are computed from, and what only `inspect` and `devices` print: told in words where it
 * is used.
 */
const NOT_EXPORTED = [
  ...["PASSED", "MIXES", "FORMATS", "FormatName", "Validating", "ConfigValue"],
  ...["Activation", "Biased", "LayerArchitecture", "StoredFormats", "Solved"],
];

function fail(message) {
  console.error(`docs: ${message}`);
  process.exit(1);
}

/** Installs the packages as the lock file here says. */
function install() {
  const lock = readFileSync(here("package-lock.json"), "utf8");
  const stamp = out("node_modules/.hotset-lock");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  mkdirSync(out(), { recursive: true });
  for (const name of ["package.json", "package-lock.json"]) cpSync(here(name), out(name));
  console.error("docs: installing packages");
  const options = ["ci", "--no-audit", "--no-fund", "--prefer-offline"];
  const { status } = spawnSync("npm", options, {
    cwd: out(),
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
  if (status !== 0) fail("npm could not install the packages (see above)");
  writeFileSync(stamp, lock);
}

/** Every page that is not of tests' data, relative to the root. */
function sources() {
  const top = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
  const below = ["src", "kernels", "bench", "test", "models"].flatMap((folder) =>
    readdirSync(at(folder), { recursive: true, encoding: "utf8" })
      .map((path) => posix.join(folder, path.replaceAll("\\", "/")))
      .filter((path) => path.endsWith(".md") && !path.startsWith("test/fixtures/")),
  );
  return [...top, ...below.sort()];
}

/** Where a page lies in the site: a folder's README is its index. */
const targetOf = (source) => source.replace(/(^|\/)README\.md$/, "$1index.md");

/**
 * A page for the site: links lead to pages of it; what is no page loses its link, and pictures come
 * along.
 */
function pageText(source, all) {
  const linked = (whole, text, link) => {
    if (/^[a-z]+:|^#/.test(link)) return whole;
    const [path, anchor] = link.split("#");
    const target = posix.join(posix.dirname(source), path);
    const page = all.find((one) => one === target || one === `${target}/README.md`);
    if (page !== undefined) {
      const to = posix.relative(posix.dirname(source), targetOf(page));
      return `[${text}](./${to}${anchor ? `#${anchor}` : ""})`;
    }
    if (!/\.(svg|png)$/.test(target)) return text;
    const place = join(PAGES, target);
    mkdirSync(dirname(place), { recursive: true });
    cpSync(at(target), place);
    return whole;
  };
  const parts = readFileSync(at(source), "utf8").split(/^(\s*```[\s\S]*?^\s*```)$/m);
  return parts
    .map((part, i) => {
      if (i % 2 === 0) return part.replace(/\[((?:[^[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)/g, linked);
      return part.replace(/^```\n/, "```sh\n"); // what is typed into a shell is coloured as that
    })
    .join("");
}

function writePages() {
  const all = sources();
  const pages = all.map((source) => {
    const text = pageText(source, all);
    const place = join(PAGES, targetOf(source));
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, text);
    const title = /^# (.*)$/m.exec(text)?.[1].replaceAll("`", "") ?? source;
    return { source, title, link: `/${targetOf(source).replace(/(index)?\.md$/, "")}` };
  });
  const { version } = JSON.parse(readFileSync(at("package.json"), "utf8"));
  writeFileSync(out("site.json"), JSON.stringify({ version, pages }));
}

/** The sources of the package's entries, and what each is imported as. */
function entries() {
  const { exports } = JSON.parse(readFileSync(at("package.json"), "utf8"));
  return new Map(
    Object.entries(exports)
      .filter(([, { types }]) => types !== undefined)
      .map(([entry, { types }]) => [types.replace("./dist/", "").replace(".d.ts", ".ts"), `hotset${entry.slice(1)}`]),
  );
}

/** Fields of object types without a name of their own are told by what has them. */
const isInner = (reflection) => reflection.getFullName().includes(".__type");

async function writeReference() {
  const { Application, ReflectionKind } = await import(out("node_modules/typedoc/dist/index.js"));
  const sources = entries();
  const names = new Map([...sources].map(([file, name]) => [file.replace(/^src\/|\.ts$/g, ""), name]));
  const app = await Application.bootstrapWithPlugins({
    entryPoints: [...sources.keys()].map((file) => at(file)),
    tsconfig: at("tsconfig.json"),
    plugin: ["typedoc-plugin-markdown", "typedoc-vitepress-theme"].map((name) =>
      out("node_modules", name, "dist/index.js"),
    ),
    docsRoot: PAGES,
    out: join(PAGES, "api"),
    readme: "none",
    name: "Reference",
    disableSources: true,
    excludePrivate: true,
    excludeInternal: true,
    excludeExternals: true,
    hidePageHeader: true,
    hideBreadcrumbs: true,
    skipErrorChecking: true, // the compiler of `npm run check` does that
    // The addresses in docstrings are those of the source's readers.
    validation: { notExported: true, invalidLink: true, notDocumented: false, rewrittenLink: false },
    intentionallyNotExported: NOT_EXPORTED,
    logLevel: "Warn",
  });
  const project = await app.convert();
  if (project === undefined) fail("TypeDoc could not read the sources (see above)");
  for (const module of project.children ?? []) module.name = names.get(module.name) ?? module.name;
  app.validate(project);
  const named =
    ReflectionKind.Interface |
    ReflectionKind.Class |
    ReflectionKind.TypeAlias |
    ReflectionKind.Variable |
    ReflectionKind.Property |
    ReflectionKind.Accessor |
    ReflectionKind.CallSignature;
  const own = project.getReflectionsByKind(named).filter((one) => !isInner(one) && !one.flags.isExternal);
  const bare = own.filter(
    (one) =>
      !one.hasComment() &&
      !one.getSignature?.hasComment() &&
      !one.type?.declaration?.signatures?.some((s) => s.hasComment()),
  );
  const missing = [
    ...new Set(bare.map((one) => `${one.getFullName()} (${one.sources?.[0]?.fileName ?? "inherited"})`)),
  ];
  for (const name of missing) console.error(`docs: ${name} has no docstring`);
  await app.generateOutputs(project);
  if (missing.length > 0 || app.logger.hasErrors() || app.logger.hasWarnings())
    fail("the public API is not documented whole (see above)");
}

install();
if (process.argv[2] === "install") process.exit(0);
const serving = process.argv[2] === "serve";
const { build, serve } = await import(out("node_modules/vitepress/dist/node/index.js"));
if (!serving) {
  for (const folder of ["pages", "site", ".vitepress"]) rmSync(out(folder), { recursive: true, force: true });
  writePages();
  await writeReference();
}
mkdirSync(out(".vitepress"), { recursive: true });
cpSync(here("config.mjs"), out(".vitepress/config.mjs"));
if (serving) await serve({ root: out(), port: Number(process.argv[3] ?? 4173) });
else {
  await build(out(), { logLevel: "warn" });
  console.log(`docs: ${relative(root, out("site"))}`);
}
