// `npm run bench -- perplexity`: what quantized weights cost, on one text, with exact activations
// unless told otherwise.

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { PACKABLE } from "../kernels/formats/index.ts";
import { RequestError } from "../src/errors.ts";
import { open } from "../src/index.ts";
import { bindSources, readArchitecture } from "../src/model/families/index.ts";
import { parametersOf } from "../src/model/footprint.ts";
import { openFolder } from "../src/weights/folder.ts";
import { nodeFolderOrFile } from "../src/weights/node_files.ts";
import { exitCode, oneOf, whole } from "./arguments.ts";
import { perplexityOf, WINDOWS, windowNll } from "./perplexity.ts";

const USAGE = `usage: npm run bench -- perplexity <folder or GGUF file> ... --text <file> [--weights auto|q4|...]
         [--activations f32|int8] [--windows ${WINDOWS}] [--threads <count>]`;

/** Prints a line a model; returns the exit code. */
export function perplexityCommand(args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse, async ({ models, text: file, windows, options }) => {
    const text = readFileSync(file, "utf8");
    for (const path of models) {
      const model = await open(path, options);
      try {
        const show = (nll: readonly number[]) =>
          process.stderr.isTTY &&
          process.stderr.write(`\r${nll.length} of ${windows}: ${perplexityOf(nll).toFixed(4)}`);
        const nll = await windowNll(model, text, windows, show);
        if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
        console.log(`${path}  ${(await bitsOf(path)).toFixed(3)} bits a weight  ${perplexityOf(nll).toFixed(4)}`);
      } finally {
        await model.close();
      }
    }
    return 0;
  });
}

function parse(args: readonly string[]) {
  const { values, positionals: models } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      text: { type: "string" },
      weights: { type: "string", default: "auto" },
      activations: { type: "string", default: "f32" },
      windows: { type: "string", default: String(WINDOWS) },
      threads: { type: "string" },
    },
  });
  const { text, threads } = values;
  if (models.length === 0 || text === undefined) throw new RequestError("expected models and --text");
  const options = {
    backend: "cpu",
    weights: oneOf("weights", values.weights, ["auto", ...PACKABLE]),
    activations: oneOf("activations", values.activations, ["f32", "int8"]),
    ...(threads !== undefined && { threads: whole("threads", threads) }),
  } as const;
  return { models, text, windows: whole("windows", values.windows), options };
}

/** Bits of all tensors of the files, padding included, for each of the model's parameters. */
async function bitsOf(path: string): Promise<number> {
  const { files, file } = await nodeFolderOrFile(path);
  const folder = await openFolder(files, file);
  try {
    const architecture = readArchitecture(folder.config, path);
    const { total } = parametersOf(architecture, bindSources(architecture, folder.source));
    let bytes = 0;
    for (const { tensors } of folder.headers) for (const { begin, end } of tensors.values()) bytes += end - begin;
    return (8 * bytes) / total;
  } finally {
    await folder.close();
  }
}
