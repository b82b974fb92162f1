// `npm run bench -- isa`: what a GPU's compiler makes of the kernels, on a machine without one.

import { mkdirSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { FORMATS, type FormatName } from "../../kernels/formats/index.ts";
import { ARITHMETICS } from "../../src/backend/webgpu/dispatch/shader.ts";
import { TILES, type TileName } from "../../src/backend/webgpu/tuning/tiles.ts";
import { exitCode, oneOf, resultName, wholes } from "../arguments.ts";
import { about } from "../result.ts";
import { type JudgeOptions, judge, missing } from "./judge.ts";
import { FAMILIES } from "./makers.ts";
import { rowOf, tableOf } from "./table.ts";

const USAGE = `usage: npm run bench -- isa [--kernels matmul_vec,route] [--formats q4,q8 | --all] [--arithmetics f32,f16,int8]
         [--reductions subgroups,tree] [--tiles shared64,int8] [--rows 1,4] [--family navi31,renoir,tgl] [--page | --both]
         [--model synthetic:...] [--keep <folder for machine code>] [--name <of the result>] [--json]`;

/** Formats of which most checkpoints are made. */
const USUAL: readonly FormatName[] = ["f16", "q8", "q6_k", "q4", "q4_k"];

interface Parsed extends Omit<JudgeOptions, "onCompiled"> {
  readonly name: string | undefined;
  readonly json: boolean;
}

/** Judges kernels as the arguments say; returns the exit code. */
export function isaCommand(root: URL, args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse, (options) => run(root, args, options));
}

function run(root: URL, args: readonly string[], parsed: Parsed): number {
  const lacking = parsed.families.map(missing).find((what) => what !== null);
  if (lacking) {
    console.error(`isa: this machine lacks ${lacking}`);
    return 1;
  }
  const { name, json, ...options } = parsed;
  const { adapters, verdicts, refused } = judge(root, {
    ...options,
    onCompiled: (family, checks, count, seconds) =>
      console.error(`${family}, checks ${checks}: ${count} kernels in ${seconds.toFixed(1)} s`),
  });
  const head = { ...about(root, name ?? "isa", ["isa", ...args]), kind: "isa", adapters, refused };
  if (json) console.log(JSON.stringify({ ...head, verdicts }));
  else {
    console.log(Object.values(adapters).join("\n"));
    console.log(tableOf(verdicts));
  }
  for (const { family, checks, kernel, error } of refused)
    console.error(`not compiled for ${family}, checks ${checks}: ${kernel}: ${error}`);
  if (name !== undefined) {
    const file = (ending: string): URL => new URL(`bench/results/${name}.${ending}`, root);
    mkdirSync(new URL("bench/results/", root), { recursive: true });
    // A line a row.
    const rows = verdicts.map((verdict) => `\n    ${JSON.stringify(rowOf(verdict))}`);
    writeFileSync(file("json"), `${JSON.stringify(head, null, 2).replace(/\n}$/, "")},\n  "rows": [${rows}\n  ]\n}\n`);
    writeFileSync(file("txt"), `${tableOf(verdicts)}\n`);
    console.log(`written to bench/results/${name}.json and .txt`);
  }
  return refused.length > 0 ? 1 : 0;
}

function parse(args: readonly string[]): Parsed {
  const { values } = parseArgs({
    args: [...args],
    options: {
      kernels: { type: "string", default: "" },
      formats: { type: "string", default: USUAL.join() },
      all: { type: "boolean", default: false },
      arithmetics: { type: "string", default: ARITHMETICS.join() },
      reductions: { type: "string", default: "subgroups,tree" },
      tiles: { type: "string", default: Object.keys(TILES).join() },
      rows: { type: "string", default: "1,2,4,8,16,32,64" },
      family: { type: "string", default: "navi31" },
      page: { type: "boolean", default: false },
      both: { type: "boolean", default: false },
      model: { type: "string", default: "synthetic:mixtral-8x7b?layers=1" },
      keep: { type: "string" },
      name: { type: "string" },
      json: { type: "boolean", default: false },
    },
  });
  const list = (text: string): string[] => (text === "" ? [] : text.split(","));
  return {
    kernels: list(values.kernels),
    formats: values.all
      ? (Object.keys(FORMATS) as FormatName[])
      : list(values.formats).map((format) => oneOf("formats", format, Object.keys(FORMATS) as FormatName[])),
    arithmetics: list(values.arithmetics).map((one) => oneOf("arithmetics", one, ARITHMETICS)),
    reductions: list(values.reductions).map((one) => oneOf("reductions", one, ["subgroups", "tree"] as const)),
    tiles: list(values.tiles).map((tile) => oneOf("tiles", tile, Object.keys(TILES) as TileName[])),
    rows: wholes("rows", values.rows),
    families: list(values.family).map((family) => oneOf("family", family, FAMILIES)),
    checks: values.both ? ["none", "page"] : values.page ? ["page"] : ["none"],
    model: values.model,
    keep: values.keep,
    name: values.name === undefined ? undefined : resultName(values.name),
    json: values.json,
  };
}
