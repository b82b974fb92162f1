// The command behind llama.ts: arguments, the GGUF file, the result as JSON, written
// after each case.

import { statSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { formatRate } from "../../src/cli/output.ts";
import { whole, wholes } from "../arguments.ts";
import { architectureOf, cachedGguf } from "../peers/cache.ts";
import { peerPackage } from "../peers/packages.ts";
import { machine } from "../result.ts";
import { type LlamaModel, type LlamaVulkan, openLlamaVulkan } from "./llama_addon.ts";
import { type LlamaCase, timeCases } from "./llama_cases.ts";

/** The npm package that holds llama.cpp built for Vulkan. */
export const PACKAGE = "@node-llama-cpp/linux-x64-vulkan";
const USAGE = `usage: llama.js --model <folder or synthetic:...> --out <file> [--contexts 0,4096] [--prompts 512] [--tokens 32]
         [--budget <seconds>]`;

/** The result. Fields are added as they become known; `error` says why the others are missing. */
interface LlamaResult {
  readonly schema: 1;
  readonly kind: "llama.cpp";
  readonly date: string;
  readonly machine: ReturnType<typeof machine>;
  readonly model: string;
  package?: string;
  llamaCpp?: string;
  devices?: readonly string[];
  systemInfo?: string;
  /** `writtenMs` is null if the file existed already. */
  gguf?: { readonly bytes: number; readonly writtenMs: number | null };
  load?: Omit<LlamaModel, "sequence">;
  /** Positions of the cache. */
  positions?: number;
  readonly cases: LlamaCase[];
  skipped?: readonly string[];
  /** Warnings and errors of llama.cpp. */
  log?: readonly string[];
  error?: string;
}

/** Measures llama.cpp; returns the exit code: 1 on failure, with the reason in the result. */
export async function llamaCommand(root: URL, args: readonly string[]): Promise<number> {
  const started = performance.now();
  let options: Options;
  try {
    options = parse(args);
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    return 2;
  }
  const result: LlamaResult = {
    schema: 1,
    kind: "llama.cpp",
    date: new Date().toISOString(),
    machine: machine(),
    model: options.model,
    cases: [],
  };
  const write = (): void => writeFileSync(options.out, `${JSON.stringify(result, null, 2)}\n`);
  const interrupted = (): void => {
    result.error = "ended by a signal, as run.sh sends it when the time is over";
    write();
    // exit removes an incomplete file; a normal return would wait for the driver,
    // perhaps for minutes.
    process.on("exit", () => process.kill(process.pid, "SIGKILL"));
    process.exit(143);
  };
  process.once("SIGTERM", interrupted);
  try {
    await measure(root, options, started, result, write);
  } catch (error) {
    result.error = (error as Error).message;
    console.error(result.error);
  } finally {
    process.off("SIGTERM", interrupted);
  }
  write();
  return result.error === undefined ? 0 : 1;
}

async function measure(
  root: URL,
  { model: path, contexts, prompts, tokens, budgetMs }: Options,
  started: number,
  result: LlamaResult,
  write: () => void,
): Promise<void> {
  const found = peerPackage(root, PACKAGE);
  result.package = `${found.name} ${found.version}`;
  // First look for a device: writing the file takes longer.
  const llama: LlamaVulkan = await openLlamaVulkan(found.folder);
  result.llamaCpp = llama.release;
  result.devices = llama.devices;
  result.systemInfo = llama.systemInfo;
  result.log = llama.log;
  console.log(`llama.cpp ${llama.release} on ${llama.devices.join(", ")}`);
  write();

  const { vocab, layers } = await architectureOf(root, path);
  const began = Date.now();
  const gguf = await cachedGguf(root, path);
  const { size, mtimeMs } = statSync(gguf);
  result.gguf = { bytes: size, writtenMs: mtimeMs < began ? null : Date.now() - began };
  write();

  result.positions = Math.max(1, ...prompts, ...contexts.map((context) => context + tokens));
  const { sequence, ...load } = await llama.load(gguf, layers.length, result.positions);
  result.load = load;
  write();
  result.skipped = await timeCases(sequence, {
    ...{ contexts, prompts, tokens, vocab, budgetMs, started },
    onCase(done) {
      result.cases.push(done);
      console.log(
        `${done.name}: ${formatRate(done.tokensPerSecond)}, llama_decode alone ${formatRate(done.evalTokensPerSecond)}`,
      );
      write();
    },
  });
  for (const name of result.skipped) console.log(`not measured: ${name}`);
}

interface Options {
  readonly model: string;
  readonly out: string;
  readonly contexts: readonly number[];
  readonly prompts: readonly number[];
  readonly tokens: number;
  readonly budgetMs: number;
}

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      model: { type: "string" },
      out: { type: "string" },
      contexts: { type: "string", default: "0,4096" },
      prompts: { type: "string", default: "512" },
      tokens: { type: "string", default: "32" },
      budget: { type: "string", default: "3600" },
    },
  });
  const { model, out } = values;
  if (model === undefined || out === undefined) throw new Error("--model and --out are needed");
  return {
    ...{ model, out },
    contexts: wholes("contexts", values.contexts, 0),
    prompts: wholes("prompts", values.prompts, 1),
    tokens: whole("tokens", values.tokens, 1),
    budgetMs: whole("budget", values.budget, 1) * 1000,
  };
}
