// `npm run bench -- formats`: the kernels for few tokens in every weight format, as a table and as
// JSON.

import { parseArgs } from "node:util";
import { FORMATS, type FormatName } from "../kernels/formats/index.ts";
import { ARITHMETICS } from "../src/backend/webgpu/dispatch/shader.ts";
import { formatBytes } from "../src/cli/output.ts";
import { exitCode, oneOf, resultName, whole } from "./arguments.ts";
import { type FormatRow, timeFormats } from "./formats.ts";
import { about, writeResult } from "./result.ts";

const USAGE = `usage: npm run bench -- formats [--formats q4,q4_k] [--arithmetics f32,f16,int8] [--width 4096] [--rounds 5]
         [--adapter <part of a name>] [--name <of the result>]`;

/** Times formats as the arguments say; returns the exit code. */
export function formatsCommand(root: URL, args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse, async ({ name, ...options }) => {
    const report = await timeFormats(options);
    const { adapter, width, rounds, clock } = report;
    console.log(`${adapter}, ${width} columns, the median ${clock} time of ${rounds} rounds`);
    for (const row of report.rows) console.log(lineOf(row));
    if (name !== undefined) {
      writeResult(root, name, { ...about(root, name, ["formats", ...args]), kind: "formats", report });
      console.log(`written to bench/results/${name}.json`);
    }
    return 0;
  });
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      formats: { type: "string", default: Object.keys(FORMATS).join() },
      arithmetics: { type: "string", default: "f32" },
      width: { type: "string", default: "4096" },
      rounds: { type: "string", default: "5" },
      adapter: { type: "string" },
      name: { type: "string" },
    },
  });
  return {
    name: values.name === undefined ? undefined : resultName(values.name),
    formats: values.formats.split(",").map((format) => oneOf("formats", format, Object.keys(FORMATS) as FormatName[])),
    arithmetics: values.arithmetics.split(",").map((arithmetic) => oneOf("arithmetics", arithmetic, ARITHMETICS)),
    width: whole("width", values.width, 256),
    rounds: whole("rounds", values.rounds, 1),
    ...(values.adapter && { adapter: values.adapter }),
  };
}

function lineOf({ kernel, arithmetic, format, ms, bytes, ofQ4 }: FormatRow): string {
  const cells = [kernel.padEnd(13), arithmetic.padEnd(4), format.padEnd(7), `${ms.toFixed(2)} ms`.padStart(9)];
  const rate = `${formatBytes((1000 * bytes) / ms)}/s`.padStart(11);
  return `${cells.join("  ")}  ${rate}${ofQ4 === null ? "" : `  ${ofQ4.toFixed(2)} of q4's time a byte`}`;
}
