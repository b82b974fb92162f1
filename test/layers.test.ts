// The rules of the house that a machine can check: which way imports go, where Node's APIs may
// appear, how long files get.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { describe, expect, it } from "vitest";

const root = new URL("../", import.meta.url);

/** Relative paths of the files under `folder` with one of the `endings`. */
function filesUnder(folder: string, ...endings: string[]): string[] {
  if (!existsSync(new URL(folder, root))) return [];
  return readdirSync(new URL(folder, root), { recursive: true, encoding: "utf8" })
    .map((path) => `${folder}/${path.replaceAll("\\", "/")}`)
    .filter((path) => endings.some((ending) => path.endsWith(ending)))
    .filter((path) => !GENERATED.has(path))
    .sort();
}

const GENERATED: ReadonlySet<string> = new Set([
  "kernels/wgsl.ts",
  "kernels/wasm.ts",
  "src/grammar/xgrammar_library.ts",
  "src/hub/hub_library.ts",
  "src/wiring/web_engine_text.ts",
]);

function read(path: string): string {
  return readFileSync(new URL(path, root), "utf8");
}

interface Import {
  readonly from: string;
  /** Path relative to the root, "node:fs", or a package's name. */
  readonly to: string;
}

/** Every static, side-effect and dynamic import of a file, types included. */
function importsOf(from: string): Import[] {
  const code = read(from).replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s(?:[^'";]*?\sfrom\s)?\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/g;
  const programs = WRITES_PROGRAMS.test(from);
  const found = [...code.matchAll(pattern)].filter((match) => !programs || (match[1] ?? match[2])!.startsWith("."));
  return found.map((match) => {
    const target = (match[1] ?? match[2]) as string;
    if (target.startsWith(".")) return { from, to: posix.join(posix.dirname(from), target) };
    return { from, to: target };
  });
}

/** Files that hold programs as texts, whose imports are not theirs. */
const WRITES_PROGRAMS = /^src\/page\/samples\//;

const SOURCES = [...filesUnder("src", ".ts", ".tsx"), ...filesUnder("kernels", ".ts")];
const IMPORTS = SOURCES.flatMap(importsOf);

/**
 * The layers, by path: the first match counts. `knows` lists what a layer may import beside itself,
 * tensor and errors.
 */
const LAYERS: readonly { readonly name: string; readonly paths: RegExp; readonly knows: readonly string[] }[] = [
  { name: "errors", paths: /^src\/(abort|base64|errors|turn)\.ts$/, knows: [] },
  { name: "tensor", paths: /^src\/tensor\//, knows: [] },
  { name: "formats", paths: /^kernels\/formats\/.*(?<!\.simd)\.ts$/, knows: [] },
  { name: "kernels", paths: /^kernels\//, knows: [] },
  { name: "weights", paths: /^src\/weights\//, knows: ["formats"] },
  { name: "tokenizer", paths: /^src\/tokenizer\//, knows: ["weights"] },
  { name: "chat", paths: /^src\/chat\//, knows: ["weights", "tokenizer"] },
  { name: "hub", paths: /^src\/hub\//, knows: ["weights"] },
  { name: "grammar", paths: /^src\/grammar\//, knows: ["tokenizer"] },
  { name: "ops", paths: /^src\/backend\/[^/]+$/, knows: ["formats"] },
  { name: "webgpu", paths: /^src\/backend\/webgpu\//, knows: ["ops", "kernels", "formats"] },
  { name: "cpu", paths: /^src\/backend\/cpu\//, knows: ["ops", "kernels", "formats"] },
  { name: "experts", paths: /^src\/experts\//, knows: ["ops", "weights", "formats"] },
  { name: "model", paths: /^src\/model\//, knows: ["ops", "experts", "formats"] },
  {
    name: "engine",
    paths: /^src\/engine\//,
    knows: ["ops", "formats", "model", "experts", "tokenizer", "chat", "grammar"],
  },
  { name: "worker", paths: /^src\/worker\//, knows: ["engine", "model"] },
  {
    name: "join",
    paths: /^src\/(wiring\/\w+|index|browser)\.ts$/,
    knows: [
      "ops",
      "formats",
      "webgpu",
      "cpu",
      "experts",
      "model",
      "engine",
      "weights",
      "tokenizer",
      "chat",
      "grammar",
      "hub",
      "worker",
    ],
  },
  { name: "page", paths: /^src\/page\//, knows: ["join", "engine"] },
  { name: "adapters", paths: /^src\/adapters\//, knows: ["engine"] },
  { name: "server", paths: /^src\/server\//, knows: ["join", "engine"] },
  { name: "cli", paths: /^src\/cli\//, knows: ["join", "formats", "engine", "server"] },
];

/** Files that know more than their layer does, each with its reason. */
const KNOWS_MORE: Readonly<Record<string, { readonly layers: readonly string[]; readonly why: string }>> = {
  "src/experts/prediction.ts": { layers: ["kernels"], why: "predicts by the router's own definition" },
  "src/cli/batch_output.ts": { layers: ["weights"], why: "locks its output as packed folders are locked" },
  "src/cli/devices.ts": { layers: ["webgpu"], why: "lists adapters and opens no model" },
  "src/cli/inspect.ts": { layers: ["weights", "model"], why: "reads headers only and opens no model" },
};

/** Which files may import which package. */
const PACKAGES: Readonly<Record<string, RegExp>> = {
  "@huggingface/hub": /^src\/hub\/look\.ts$/,
  "hash-wasm": /^src\/hub\/web_writer_worker\.ts$/,
  undici: /^src\/hub\/node_\w+\.ts$/,
  commander: /^src\/cli\//,
  webgpu: /^src\/backend\/webgpu\/device\/node_\w+\.ts$/,
  "@huggingface/tokenizers": /^src\/tokenizer\//,
  "gpt-tokenizer": /^src\/tokenizer\//,
  "@standard-schema/spec": /^src\/engine\/schemas\.ts$/,
  "@ai-sdk/provider": /^src\/adapters\/ai\w*\.ts$/,
  hono: /^src\/server\//,
  "@hono/node-server": /^src\/server\/node_\w+\.ts$/,
  pino: /^src\/server\/log\.ts$/,
  preact: /^src\/page\//,
  marked: /^src\/page\/markdown\//,
  lowlight: /^src\/page\/markdown\//,
  "highlight.js": /^src\/page\/markdown\//,
  uplot: /^src\/page\/activity\//,
  "prom-client": /^src\/server\/\w*metrics\.ts$/,
};

/** Files that run in Node only: commands, servers, the Node entry and files named node_*. */
const NODE_ONLY = /^src\/(cli|server)\/|^src\/index\.ts$|\/node_\w+\.ts$/;

/** Files of more than MAX_LINES, each with its reason. */
const LONG_FILES: Readonly<Record<string, string>> = {};
const MAX_LINES = 400;
/** A family is a short file, and so is all that families share. */
const MAX_MODEL_LINES = 250;

/** Kernels without a plain TypeScript form of their name, each with its reason. */
const NO_TWIN: Readonly<Record<string, string>> = {
  "kernels/attention_latent.wgsl": "attention, where values are a part of the keys that all heads share",
  "kernels/attention_turn.wgsl": "qk_norm, clip, rope, append and attention in one dispatch",
  "kernels/choose_best.wgsl": "the plain form is src/engine/sampler.ts, with which the host chooses",
  "kernels/choose_draw.wgsl": "the plain form is src/engine/sampler.ts, with which the host chooses",
  "kernels/choose_greedy.wgsl": "the plain form is src/engine/sampler.ts, with which the host chooses",
  "kernels/choose_top.wgsl": "the plain form is src/engine/sampler.ts, with which the host chooses",
  "kernels/head_rows.wgsl": "computes nothing: the plain heads and latent read columns where they lie",
  "kernels/latent_turn.wgsl": "latent, qk_norm, rope and append in one dispatch",
  "kernels/qkv_few.wgsl": "matmul, rope and append in one dispatch",
  "kernels/qkv_mixed.wgsl": "rms_norm and a matmul for each of q, k and v in one dispatch",
  "kernels/qkv_turn.wgsl": "qk_norm, clip, rope and append in one dispatch",
  "kernels/qkv_vec.wgsl": "rms_norm, matmul, rope and append in one dispatch",
  "kernels/combine.simd.ts": "the plain expert_down adds each expert's weighted result as it goes",
  "kernels/combine.wgsl": "the plain expert_down adds each expert's weighted result as it goes",
  "kernels/delta_factors.wgsl": "deltaFactors() in kernels/delta_rule.ts",
  "kernels/gated_norm.wgsl": "rms_norm and gate in one dispatch",
  "kernels/copy.wgsl": "computes nothing: profiles measure the device's bandwidth with it",
  "kernels/pack.simd.ts": "the plain form is pack() of each format in kernels/formats",
  "kernels/split.simd.ts": "the plain form is ggml.split() of each format in kernels/formats",
  "kernels/subgroup_places.wgsl": "computes nothing: tells how a device divides workgroups",
  "kernels/to_f16.wgsl": "rounds for tiles alone: their products are held against exact ones",
  "kernels/weave.simd.ts": "the plain form is weave() in src/tensor/panels.ts, for every backend",
};

function layerOf(path: string): string | undefined {
  return LAYERS.find((layer) => layer.paths.test(path))?.name;
}

/**
 * Files that import each other, directly or by way of others, types included: each circle as sorted
 * paths (Tarjan).
 */
function circlesOf(imports: readonly Import[]): string[] {
  const targets = new Map<string, string[]>();
  for (const { from, to } of imports) targets.set(from, [...(targets.get(from) ?? []), to]);
  const index = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const circles: string[] = [];
  const visit = (file: string): void => {
    index.set(file, index.size);
    lowest.set(file, index.get(file)!);
    stack.push(file);
    for (const target of targets.get(file) ?? []) {
      if (!index.has(target)) visit(target);
      if (stack.includes(target)) lowest.set(file, Math.min(lowest.get(file)!, lowest.get(target)!));
    }
    if (lowest.get(file) !== index.get(file)) return;
    const circle = stack.splice(stack.indexOf(file));
    const alone = circle.length === 1 && !(targets.get(file) ?? []).includes(file);
    if (!alone) circles.push(circle.sort().join(" "));
  };
  for (const file of targets.keys()) if (!index.has(file)) visit(file);
  return circles;
}

describe("layers", () => {
  it("reads the imports of a source", () => {
    expect(importsOf("src/cli/generate.ts").map(({ to }) => to)).toEqual(
      expect.arrayContaining(["commander", "src/index.ts", "src/cli/values.ts"]),
    );
    expect(IMPORTS.length).toBeGreaterThan(SOURCES.length);
  });

  it("every source belongs to a layer", () => {
    expect(SOURCES.filter((path) => layerOf(path) === undefined)).toEqual([]);
  });

  it("imports go one way", () => {
    const wrong = IMPORTS.filter(({ from, to }) => {
      const [source, target] = [layerOf(from), layerOf(to)];
      if (!/^(src|kernels)\//.test(to) || source === target) return false;
      const known = [...(LAYERS.find((layer) => layer.name === source)?.knows ?? []), "tensor", "errors"];
      known.push(...(KNOWS_MORE[from]?.layers ?? []));
      return target === undefined || !known.includes(target);
    });
    expect(wrong.map(({ from, to }) => `${from} -> ${to}`)).toEqual([]);
  });

  it("finds circles of imports, long ones too", () => {
    const pairs = ["a b", "b c", "c a", "c d", "d e", "e d", "f f", "g a"];
    const imports = pairs.map((pair) => ({ from: pair.split(" ")[0]!, to: pair.split(" ")[1]! }));
    expect(circlesOf(imports).sort()).toEqual(["a b c", "d e", "f"]);
  });

  it("no files import each other in a circle", () => {
    const known = IMPORTS.filter(({ to }) => /^(src|kernels)\//.test(to));
    expect(circlesOf(known)).toEqual([]);
  });

  it("nothing in src imports tests or benchmarks", () => {
    expect(IMPORTS.filter(({ to }) => /^(test|bench)\//.test(to))).toEqual([]);
  });

  it("each package is imported in one place", () => {
    const external = IMPORTS.filter(({ to }) => !/^(src|kernels)\/|^node:/.test(to));
    const packageOf = (to: string): string => to.split("/", to.startsWith("@") ? 2 : 1).join("/");
    expect(external.filter(({ from, to }) => !PACKAGES[packageOf(to)]?.test(from))).toEqual([]);
    const used = new Set(external.map(({ to }) => packageOf(to)));
    expect(Object.keys(PACKAGES).filter((name) => !used.has(name))).toEqual([]);
  });
});

/** Files that name a family beside its own file, each with its reason. */
const NAMES_A_FAMILY: Readonly<Record<string, string>> = {
  "src/model/families/index.ts": "the one table of families",
  "src/weights/gguf/architectures.ts": "which family a GGUF file was made from: its own table",
  "src/weights/gguf/hybrids.ts": "the part of that table with states",
  "src/weights/synthetic_shapes.ts": "true shapes of published models, and their tensors' names: a table of its own",
  "src/weights/synthetic_grouped.ts": "more of that table",
  "src/hub/short_names.ts": "names of popular models: a table of its own",
  "src/cli/bench.ts": "help: a synthetic model that can be typed as it stands",
  "src/cli/quantize.ts": "help: a synthetic model that can be typed as it stands",
};

describe("families of models", () => {
  const families = filesUnder("src/model/families", ".ts").filter((path) => !path.endsWith("/index.ts"));
  const names = families.map((path) => posix.basename(path, ".ts"));

  it("are named nowhere but in their own files", () => {
    const found = [...filesUnder("src", ".ts", ".mjs"), ...filesUnder("kernels", ".ts", ".wgsl", ".mjs")].filter(
      (path) => !families.includes(path) && names.some((name) => read(path).toLowerCase().includes(name)),
    );
    expect(found).toEqual(Object.keys(NAMES_A_FAMILY).sort());
    expect(names).toContain("mixtral");
  });
});

/** Files that name a quantized format beside its own folder, each with its reason. */
const NAMES_A_FORMAT: Readonly<Record<string, string>> = {
  "kernels/formats/index.ts": "those that are chosen automatically",
  "src/model/mixes.ts": "the table of mixes",
  "src/backend/webgpu/webgpu.ts": "a format with int8 products, to ask which tiles the device has",
  "src/cli/devices.ts": "the format that is tuned for where none is named",
  "src/hub/short_names.ts": "the tags of published files",
  "src/index.ts": "the format that is tuned for where none is named",
  "src/weights/quantized/mxfp4.ts": "gpt-oss's published blocks are read as the format's own",
  "src/weights/synthetic_shapes.ts": "gpt-oss's experts are published in it",
  "src/wiring/measure.ts": "rates are measured with the format that offloaded models have",
};

describe("formats of weights", () => {
  it("are named nowhere but in their own folders", () => {
    const names = readdirSync(new URL("kernels/formats", root), { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !/^(f\d+|q8)$/.test(entry.name)) // which are arithmetics or caches, too
      .filter(({ name }) => existsSync(new URL(`kernels/formats/${name}/${name}.ts`, root))) // no helpers
      .map(({ name }) => name);
    const named = new RegExp(`["\`.](?:${names.join("|")})\\b`);
    const found = SOURCES.filter((path) => !/^kernels\/formats\/\w+\//.test(path)).filter((path) =>
      named.test(read(path).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "")),
    );
    expect(found.sort()).toEqual(Object.keys(NAMES_A_FORMAT).sort());
    expect(names).toContain("q4");
  });
});

describe("Node-only code", () => {
  const portable = SOURCES.filter((path) => !NODE_ONLY.test(path));

  it("has the only imports of Node's modules", () => {
    expect(IMPORTS.filter(({ from, to }) => to.startsWith("node:") && !NODE_ONLY.test(from))).toEqual([]);
  });

  it("is not imported by portable code", () => {
    expect(IMPORTS.filter(({ from, to }) => NODE_ONLY.test(to) && !NODE_ONLY.test(from))).toEqual([]);
  });

  it("has the only uses of Node's globals", () => {
    const pattern = /\b(?:process\.\w+|Buffer\.\w+|require\(|__dirname)/g;
    const uses = portable
      .filter((path) => !WRITES_PROGRAMS.test(path))
      .flatMap((path) => {
        const code = read(path).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
        return (code.match(pattern) ?? []).map((use) => `${path}: ${use}`);
      });
    expect(uses).toEqual([]);
  });
});

describe("code that a page may run", () => {
  // Our own page's document says which encoding it has.
  const portable = [...SOURCES, ...filesUnder("kernels", ".wgsl")].filter(
    (path) => !NODE_ONLY.test(path) && !path.startsWith("src/page/"),
  );

  it("keeps to ASCII, whatever a bundler makes of it", () => {
    // In WGSL, which is embedded whole, comments too. Minifiers write a character of a string as it
    // is, escaped or not.
    const beyond = portable.filter((path) => {
      const code = path.endsWith(".wgsl") ? read(path) : read(path).replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, "");
      return [...code].some((character) => character > "\x7f") || /["`][^"`\n]*(?<!\\)\\u(?!00[0-7]|\$)/.test(code);
    });
    expect(beyond).toEqual([]);
  });
});

describe("files", () => {
  const code = [...filesUnder("src", ".ts", ".tsx", ".mjs", ".css"), ...filesUnder("kernels", ".ts", ".mjs", ".wgsl")];
  const checked = [...code, ...filesUnder("bench", ".ts"), ...filesUnder("test", ".ts", ".mjs")];

  it(`have at most ${MAX_LINES} lines (in src/model ${MAX_MODEL_LINES}), or a reason here`, () => {
    const most = (path: string) => (path.startsWith("src/model/") ? MAX_MODEL_LINES : MAX_LINES);
    const long = checked.filter((path) => read(path).split("\n").length > most(path) + 1);
    expect(long.filter((path) => !(path in LONG_FILES))).toEqual([]);
    expect(Object.keys(LONG_FILES).filter((path) => !long.includes(path))).toEqual([]);
  });

  it("have private members in one style, #x; only constructors are marked private", () => {
    const marked = /^\s+private (?!constructor\b)/m;
    expect(SOURCES.filter((path) => marked.test(read(path)))).toEqual([]);
  });

  it("open with a sentence that says what they are", () => {
    const opens = /^(#!.*\n)?(\/\/|\/\*) \S/;
    expect(checked.filter((path) => !path.endsWith(".test.ts") && !opens.test(read(path)))).toEqual([]);
  });

  it("every WGSL and SIMD kernel has a plain twin of the same name, or a reason here", () => {
    const kernels = filesUnder("kernels", ".wgsl", ".simd.ts").filter(
      (path) => !/^kernels\/(lib|formats)\//.test(path),
    );
    // X_vec is the form of X for one token, X_few that for a few; X_split and X_reduce are X in two
    // kernels.
    const twin = (path: string): string => path.replace(/(_vec|_few|_split|_reduce)?\.wgsl$|\.simd\.ts$/, ".ts");
    const alone = kernels.filter((path) => !existsSync(new URL(twin(path), root)));
    expect(alone.filter((path) => !(path in NO_TWIN))).toEqual([]);
    expect(Object.keys(NO_TWIN).filter((path) => !alone.includes(path))).toEqual([]);
  });

  it("name compiled files, in scripts too, whose sources exist", () => {
    const scripts = [
      ...checked,
      ...filesUnder("test", ".mjs"),
      ...filesUnder("bench", ".sh"),
      ...filesUnder(".ci", "run"),
    ];
    const named = scripts.flatMap((path) =>
      [...read(path).matchAll(/\bdist\/((?:src|kernels|bench|test)\/[\w/]+)\.js\b/g)].map((match) => `${match[1]}.ts`),
    );
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((path) => !existsSync(new URL(path, root)))).toEqual([]);
  });
});
