// `hotset generate`: streams the continuation of a prompt to stdout, then a line of
// figures to stderr.

import type { Command } from "commander";
import type { GenerateOptions, GenerationResult, ModelStats, TokenLogprob } from "../engine/api.ts";
import { allBytes } from "../engine/places.ts";
import { type Constraint, type ExpertStats, open } from "../index.ts";
import { reportOpened } from "./debug.ts";
import { expertsLine, expertsTable } from "./experts.ts";
import { addFormatOptions, constraintFor, type FormatFlags, requestedFormat } from "./format_options.ts";
import { interruptible } from "./interrupt.ts";
import { liveLine } from "./live.ts";
import { addModelOptions, MODEL_ARGUMENT, type ModelFlags, openOptions, pick } from "./model_options.ts";
import { openPlace } from "./open_place.ts";
import { formatBytes, formatRate, formatSeconds, print, printable } from "./output.ts";
import { promptFromStdin } from "./prompt.ts";
import { addSamplingOptions, GENERATION_NAMES } from "./sampling_options.ts";
import { createTraceFile } from "./trace_file.ts";
import { integer } from "./values.ts";

const NAMES = ["maxTokens", "logprobs", ...GENERATION_NAMES] as const;

interface GenerateFlags extends ModelFlags, FormatFlags, Pick<GenerateOptions, (typeof NAMES)[number]> {
  readonly prompt?: string;
  readonly trace?: string;
  readonly json?: true;
  readonly quiet?: true;
  readonly stats?: true;
}

export function addGenerate(program: Command): void {
  const command = program
    .command("generate")
    .description("continue a prompt with the model in a weights folder")
    .argument("<folder>", MODEL_ARGUMENT)
    .option("-p, --prompt <text>", "the text to continue; default: stdin");
  addFormatOptions(addSamplingOptions(addModelOptions(command)))
    .option("--logprobs <count>", "with --json: this many most likely tokens at each step", integer(0, 20))
    .option(
      "--trace <file>",
      "write the experts of each step to a file, for `npm run bench -- experts`; slower on a GPU, which reads each layer's choice back",
    )
    .option("--json", "print one JSON object at the end instead of the text as it comes")
    .option(
      "--stats",
      "at the end also statistics of experts that are not all in memory, and why no tokens are drafted, on stderr",
    )
    .option("--quiet", "only the text: no progress, no figures")
    .action(async (folder: string, flags: GenerateFlags) => {
      if (flags.logprobs !== undefined && !flags.json) command.error("--logprobs needs --json, which prints them");
      if (flags.prompt === undefined && process.stdin.isTTY)
        command.error("a prompt is needed: pass one with -p, or pipe a text to stdin");
      await interruptible((signal) => generate(folder, flags, signal));
    });
}

async function generate(folder: string, flags: GenerateFlags, signal: AbortSignal): Promise<void> {
  const prompt = flags.prompt ?? (await promptFromStdin(signal, "pass one with -p"));
  const format = await requestedFormat(flags);
  const trace = flags.trace === undefined ? null : createTraceFile(flags.trace);
  const options = { ...openOptions(flags), needTokenizer: true, ...(trace && { onRoutes: trace.onRoutes }) };
  const model = reportOpened(await openPlace(open, folder, options, flags, signal));
  const terminal = process.stdout.isTTY && !flags.json;
  const live = liveLine(process.stderr.isTTY && !flags.quiet);
  let constraint: Constraint | null = null;
  try {
    constraint = await constraintFor(model, format);
    if (terminal && !flags.quiet) process.stdout.write(`\x1b[2m${printable(prompt)}\x1b[22m`);
    trace?.begin(folder, model);
    const session = model.session();
    const ids: number[] = [];
    const logprobs: TokenLogprob[] = [];
    let text = "";
    let result: GenerationResult | undefined;
    let first: ExpertStats | null = null; // when decoding began
    const options = { ...pick(flags, NAMES), ...(constraint && { constraint }), signal };
    for await (const piece of session.generate(prompt, options)) {
      ids.push(...piece.ids);
      logprobs.push(...(piece.logprobs ?? []));
      text += piece.text;
      result = piece.finish;
      if (!flags.json && piece.text !== "") {
        live.clear();
        await print(terminal ? printable(piece.text) : piece.text, signal);
      }
      const { experts } = model.stats();
      if (!experts) continue;
      first ??= experts;
      const from = first;
      live.draw(() => expertsLine(experts, from, ids.length - 1));
    }
    live.clear();
    if (result === undefined) throw new Error("the generation ended without a result");
    const stats = model.stats();
    if (flags.json) {
      const report = {
        text,
        ids,
        ...summary(folder, result, stats),
        ...(flags.logprobs !== undefined && { logprobs }),
      };
      await print(`${JSON.stringify(report)}\n`, signal);
    } else {
      if (!text.endsWith("\n")) await print("\n", signal);
      const hot = stats.experts && first && [expertsLine(stats.experts, first, ids.length - 1)];
      if (!flags.quiet) process.stderr.write(`${figures(result, stats, hot ?? [])}\n`);
    }
    if (flags.stats && stats.noDrafts) process.stderr.write(`drafts: none, ${stats.noDrafts}\n`);
    if (flags.stats && stats.experts) {
      const main = stats.backend.backend === "webgpu" ? "GPU" : "RAM";
      process.stderr.write(expertsTable(stats.experts, main));
    }
  } catch (error) {
    live.clear();
    if (terminal && signal.aborted) process.stdout.write("\n"); // so that the shell's prompt starts a new line
    throw error;
  } finally {
    constraint?.close();
    await model.close();
    trace?.close();
  }
}

/** The output of --json besides the text and its tokens. */
function summary(model: string, result: GenerationResult, stats: ModelStats) {
  const { promptTokens, cachedTokens, completionTokens } = result;
  return {
    finishReason: result.reason,
    usage: { promptTokens, cachedTokens, completionTokens },
    timings: { loadMs: stats.loadMs, ...result.timings },
    seed: result.seed,
    model,
    backend: stats.backend,
    weights: stats.weights,
    kv: stats.kv,
    context: stats.context,
    memory: stats.memory,
    ...(stats.experts && { experts: stats.experts }),
    ...(stats.speculation && { speculation: result.speculation ?? { drafted: 0, accepted: 0 } }),
    ...(stats.noDrafts && { noDrafts: stats.noDrafts }),
  };
}

/** One line: how long loading took, tokens in and out, how fast, on what, with how much memory. */
function figures(result: GenerationResult, stats: ModelStats, more: readonly string[]): string {
  const { memory, backend } = stats;
  const { promptMs, promptTps, decodeTps } = result.timings;
  const { speculation: drafts } = result;
  const draft = stats.speculation?.draft;
  return [
    `loaded in ${formatSeconds(stats.loadMs)}`,
    `prompt ${result.promptTokens} tokens in ${formatSeconds(promptMs)} (${formatRate(promptTps)})`,
    `generated ${result.completionTokens} tokens at ${formatRate(result.completionTokens > 1 ? decodeTps : null)}`,
    `${backend.backend} ${backend.device}, weights ${stats.weights}, kv ${stats.kv}`,
    `memory ${formatBytes(allBytes(memory))}`,
    ...(draft ? [`draft model ${formatBytes(allBytes(draft.memory))}`] : []),
    ...(drafts ? [`drafts ${drafts.accepted} of ${drafts.drafted} right`] : []),
    ...more,
    `seed ${result.seed}`,
  ].join(" · ");
}
