// `hotset quantize`: writes packed weights, which open without conversion, and
// verifies such folders.

import { type Command, Option } from "commander";
import { PACKABLE, type PackableName } from "../../kernels/formats/index.ts";
import { RequestError } from "../errors.ts";
import { MIXES, type MixName, quantize, verifyQuantized } from "../index.ts";
import { interruptible } from "./interrupt.ts";
import { formatBytes, formatSeconds } from "./output.ts";
import { longProgress } from "./progress.ts";
import { integer } from "./values.ts";

interface Flags {
  readonly weights?: PackableName;
  readonly mix?: MixName;
  readonly calibrate?: string;
  readonly threads?: number;
  readonly verify?: true;
  readonly quiet?: true;
}

/** Adds the command to the program. */
export function addQuantize(program: Command): void {
  program
    .command("quantize")
    .description(
      "write weights to a folder that opens without conversion; the same command resumes a run that was cut short",
    )
    .argument(
      "<in>",
      "a weights folder, a GGUF file, the name of a downloaded model, or synthetic:mixtral-8x7b?layers=2&seed=1; with --verify a folder written by this command",
    )
    .argument("[out]", "the folder to write")
    .addOption(new Option("--weights <format>", "one format for all weights").choices([...PACKABLE]))
    .addOption(
      new Option(
        "--mix <name>",
        "formats by what a matrix does; default: what a GGUF file or a quantized folder has, else standard, about 4.4 bits a weight",
      )
        .choices([...MIXES])
        .conflicts("weights"),
    )
    .option(
      "--calibrate <text>",
      "a file of text like that which the model will see: errors count by what weights are multiplied with there",
    )
    .option("--threads <count>", "threads that convert; default: physical cores", integer(1, 1024))
    .option("--verify", "write nothing: check every byte of a written folder against its checksums")
    .option("--quiet", "no progress")
    .action((from: string, to: string | undefined, flags: Flags) =>
      flags.verify ? verify(from, to, flags) : write(from, to, flags),
    );
}

async function write(
  from: string,
  to: string | undefined,
  { weights, mix, calibrate, threads, quiet }: Flags,
): Promise<void> {
  if (to === undefined) throw new RequestError("quantize: expected the folder to write as a second argument");
  const calibrating = longProgress("calibrating, tokens", quiet === true);
  const progress = longProgress("quantizing", quiet === true);
  const made = await interruptible((signal) =>
    quantize(from, to, {
      ...(weights && { weights }),
      ...(mix && { mix }),
      ...(calibrate !== undefined && { calibrate }),
      ...(threads && { threads }),
      signal,
      onCalibrate: calibrating.update,
      onProgress: progress.update,
    }),
  ).finally(progress.end);
  const { bytes, written, files, ms, roundedAgain } = made;
  if (roundedAgain.length > 0)
    process.stderr.write(
      `hotset: weights that ${from} holds as ${roundedAgain.join(", ")} were rounded once more and are less precise than from the original; without --weights and --mix they stay as they are\n`,
    );
  const what = `${to}: ${made.weights} weights, ${formatBytes(bytes)} in ${files} ${files === 1 ? "file" : "files"}`;
  const how =
    written === 0
      ? "nothing was left to write"
      : `${formatBytes(written)} written in ${formatSeconds(ms)} (${formatBytes((1000 * written) / ms)}/s)`;
  process.stdout.write(`${what}; ${how}\n`);
}

async function verify(
  folder: string,
  to: string | undefined,
  { weights, mix, calibrate, quiet }: Flags,
): Promise<void> {
  if ([to, weights, mix, calibrate].some((given) => given !== undefined))
    throw new RequestError(
      "quantize --verify takes one folder and no --weights, --mix or --calibrate: it writes nothing",
    );
  const progress = longProgress("checking", quiet === true);
  const bytes = await interruptible((signal) =>
    verifyQuantized(folder, { signal, onProgress: progress.update }),
  ).finally(progress.end);
  process.stdout.write(`${folder}: all ${formatBytes(bytes)} match their checksums\n`);
}
