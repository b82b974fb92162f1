// The options of opening a model, shared by every command that opens one.

import { type Command, Option } from "commander";
import { PACKABLE } from "../../kernels/formats/index.ts";
import type { OpenOptions } from "../engine/api.ts";
import { integer, number, size } from "./values.ts";

/** What commands that open a model take. */
export const MODEL_ARGUMENT =
  "weights folder (config.json, safetensors, tokenizer), GGUF file, or a name on the model hub";

const NAMES = [
  "backend",
  "adapter",
  "weights",
  "tokenizer",
  "kv",
  "activations",
  "speculation",
  "draft",
  "context",
  "ropeScaling",
  "ropeScale",
  "ropeTheta",
  "chunk",
  "threads",
  "ram",
  "gpuMemory",
  "expertSlots",
  "compileDeadline",
] as const;

/** The parsed options. An option that was not given has no key. */
export type ModelFlags = Pick<OpenOptions, (typeof NAMES)[number]> & {
  readonly ropeFreqBase?: number;
  readonly yes?: true;
};

export function addModelOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--backend <name>", "what computes; default: auto, a GPU if there is one").choices([
        "auto",
        "webgpu",
        "cpu",
      ]),
    )
    .option("--adapter <text>", "WebGPU adapter to use: part of its name, as `hotset devices` prints it")
    .addOption(
      new Option(
        "--weights <format>",
        "weights in memory; default: auto, as the file has them, or of F32, F16 or BF16 the most precise that fit",
      ).choices(["auto", ...PACKABLE]),
    )
    .option(
      "--tokenizer <path>",
      "folder or file (tokenizer.json, tokenizer.model, GGUF) to take the tokenizer and chat template from",
    )
    .addOption(
      new Option(
        "--kv <precision>",
        "cached keys and values; default: f32, f16 on a GPU; q8 takes about half of f16",
      ).choices(["f32", "f16", "q8"]),
    )
    .addOption(
      new Option(
        "--activations <precision>",
        "what q8 and q4 weights are multiplied by; default: int8 (WebGPU: where it is faster); f32 is exact",
      ).choices(["int8", "f32"]),
    )
    .addOption(
      new Option(
        "--speculation <way>",
        "drafts of the next tokens, by looking earlier words up; the text is the same; default: lookup on the CPU, off on a GPU",
      ).choices(["lookup", "off"]),
    )
    .option(
      "--draft <model>",
      "folder, GGUF file or name of a small model with the same vocabulary that drafts tokens on the CPU; the text is the same",
    )
    .option("--yes", "download a model that is not on this machine without asking")
    .option("--context <tokens>", "most positions of a session; default: the model's own", integer(1))
    .addOption(
      new Option(
        "--rope-scaling <type>",
        "scales RoPE for a --context beyond the trained one; default: as the model says",
      ).choices(["none", "linear", "yarn"]),
    )
    .option("--rope-scale <factor>", "by how much the context grows; default: as --context needs", number(1))
    .option("--rope-theta <base>", "RoPE's base; default: the model's", number(1))
    .addOption(
      new Option("--rope-freq-base <base>", "the same, as llama.cpp calls it")
        .argParser(number(1))
        .conflicts("ropeTheta"),
    )
    .option(
      "--chunk <tokens>",
      "most prompt tokens computed in one step; default: 1024, on the CPU 256 or 512",
      integer(1),
    )
    .option(
      "--threads <count>",
      "threads of the CPU backend; default: physical cores, within the CPU quota",
      integer(1, 1024),
    )
    .option(
      "--ram <size>",
      "budget in RAM, such as 24GiB; default: 60 % of RAM, or of a container's limit all but 6 %, 384 MiB and 8 MiB a thread; experts that do not fit stay on disk",
      size,
    )
    .option("--gpu-memory <size>", "budget in GPU memory, such as 24GiB; default: 6GiB; other experts are in RAM", size)
    .option(
      "--expert-slots <count>",
      "experts of each layer kept there; default: as many as fit the budget",
      integer(1),
    )
    .option(
      "--compile-deadline <ms>",
      "a schema or grammar that takes longer to compile is rejected; default: 10000",
      integer(1, 3_600_000),
    );
}

/** The entries of `from` under `keys`, without those that are absent. */
export function pick<T extends object, K extends keyof T>(from: T, keys: readonly K[]): Pick<T, K> {
  const present = keys.filter((key) => key in from).map((key) => [key, from[key]]);
  return Object.fromEntries(present) as Pick<T, K>;
}

export function openOptions(flags: ModelFlags): Pick<OpenOptions, (typeof NAMES)[number]> {
  const { ropeFreqBase } = flags;
  return { ...pick(flags, NAMES), ...(ropeFreqBase !== undefined && { ropeTheta: ropeFreqBase }) };
}
