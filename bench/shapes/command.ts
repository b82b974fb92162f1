// `npm run bench -- shapes`: what many narrow experts cost beside one wide matrix of as many bytes,
// on the CPU and on WebGPU.

import { parseArgs } from "node:util";
import { FORMATS, type FormatName } from "../../kernels/formats/index.ts";
import type { Arithmetic } from "../../src/tensor/format.ts";
import { exitCode, oneOf, resultName, whole, wholes } from "../arguments.ts";
import { onDevice } from "../kernel_trial.ts";
import { about, writeResult } from "../result.ts";
import { type CpuRates, cpuRates } from "./cpu.ts";
import { type GpuRow, Shapes } from "./gpu.ts";
import { withShape } from "./shape.ts";

const USAGE = `usage: npm run bench -- shapes [--models <a model>,...] [--format q4] [--threads 1,2] [--rounds 5]
         [--counts] [--adapter <part of a name>] [--name <of the result>]`;

/** Experts of 768, 512 and 512 columns, of which a token takes 8, 8 and 10. */
const MODELS = ["qwen3-30b-a3b", "qwen3.6-35b-a3b", "qwen3-next-80b-a3b"];
/** The arithmetics that adapters are first used with. */
const ARITHMETICS: readonly Arithmetic[] = ["f32", "int8"];

interface Options {
  readonly models: readonly string[];
  readonly format: FormatName;
  readonly threads: readonly number[];
  readonly rounds: number;
  readonly adapter: string | undefined;
  readonly name: string | undefined;
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      models: { type: "string", default: MODELS.map((name) => `synthetic:${name}`).join() },
      format: { type: "string", default: "q4" },
      threads: { type: "string", default: "1,2" },
      rounds: { type: "string", default: "5" },
      counts: { type: "boolean", default: false },
      adapter: { type: "string" },
      name: { type: "string" },
    },
  });
  return {
    models: values.models.split(","),
    format: oneOf("format", values.format, Object.keys(FORMATS) as FormatName[]),
    threads: values.counts ? [] : wholes("threads", values.threads),
    rounds: values.counts ? 0 : whole("rounds", values.rounds),
    adapter: values.adapter,
    name: values.name === undefined ? undefined : resultName(values.name),
  };
}

/** Measures as the arguments say; returns the exit code. */
export function shapesCommand(root: URL, args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse, (options) => run(root, args, options));
}

async function run(root: URL, args: readonly string[], options: Options): Promise<number> {
  const { models, threads, rounds, adapter, name } = options;
  const format = FORMATS[options.format];
  const report = await onDevice(adapter, async (on) => {
    const shapes = [];
    for (const model of models)
      shapes.push(
        await withShape(model, async (shape) => {
          const cpu: CpuRates[] = [];
          for (const count of threads) cpu.push(await cpuRates(shape, format, count, rounds));
          const webgpu = await new Shapes(on).measure(shape, format, ARITHMETICS, rounds);
          const { E, K, D, F } = shape;
          console.log(`${model}: ${K} of ${E} experts, ${D} columns and ${F}`);
          for (const line of [...cpu.map(cpuLine), ...webgpu.map(gpuLine)]) console.log(`  ${line}`);
          return { model, E, K, D, F, cpu, webgpu };
        }),
      );
    return { adapter: on.name, format: format.name, rounds, shapes };
  });
  if (name !== undefined) {
    writeResult(root, name, { ...about(root, name, ["shapes", ...args]), kind: "shapes", report });
    console.log(`written to bench/results/${name}.json`);
  }
  return 0;
}

function cpuLine({ threads, wide, ofWide }: CpuRates): string {
  const [experts, inSlots] = [ofWide.experts, ofWide.inSlots].map((ratio) => ratio.toFixed(2));
  return `CPU, threads ${threads}: ${(wide / 1e9).toFixed(1)} GB/s of a wide matrix; experts ${experts} of that, in slots ${inSlots}`;
}

function gpuLine(row: GpuRow): string {
  const { kernel, arithmetic, threads, team, sides, workgroups, invocations, most, used, ofWide } = row;
  const counts = `${workgroups} x ${threads} = ${invocations} invocations, teams of ${team}, ${sides} at once`;
  const timed = ofWide === null ? "" : `; ${ofWide.toFixed(2)} of a wide matrix's rate`;
  return `${kernel}, ${arithmetic}, as on ${row.for}: ${counts}, at most ${most} units each, ${Math.round(100 * used)} % used${timed}`;
}
