// quantize(): writes a model's weights to a packed folder, so that opening it converts nothing
// (Node only).

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { FORMATS, PACKABLE, type PackableName } from "../../kernels/formats/index.ts";
import { createPacker } from "../backend/cpu/cpu.ts";
import { startNodeWorker, usableCores } from "../backend/cpu/node_threads.ts";
import { enableWasmFeatures } from "../backend/cpu/node_wasm.ts";
import type { Packer } from "../backend/cpu/packer.ts";
import { RequestError } from "../errors.ts";
import { placeOf } from "../hub/node_place.ts";
import { bindSources, readArchitecture } from "../model/families/index.ts";
import type { Architecture, ModelSources } from "../model/family.ts";
import { keepOr, packAll, roundedAgain, roundsAny } from "../model/formats.ts";
import { settleSources } from "../model/input_order.ts";
import { type MixName, mixPlan, MIXES as TABLE } from "../model/mixes.ts";
import { plannedFormats, type StoredTensor, storedShards } from "../model/stored.ts";
import { quantizationConfig } from "../model/stored_formats.ts";
import type { WeightSource } from "../tensor/types.ts";
import { tokenizerFiles } from "../tokenizer/files.ts";
import { openTokenizer } from "../tokenizer/tokenizer.ts";
import { readBytes } from "../weights/files.ts";
import { openFolder } from "../weights/folder.ts";
import { nodeFiles, nodeFolderOrFile } from "../weights/node_files.ts";
import { openPackedWriter, type Produce, type SmallFile } from "../weights/node_packed_writer.ts";
import { verifyFolder } from "../weights/node_verify.ts";
import { COPIED_FOLDERS, isSmallFile, layOutShards, SMALL_FILE } from "../weights/packed_folder.ts";
import { isSynthetic, parseSynthetic } from "../weights/synthetic.ts";
import { calibrate, calibrationText } from "./node_calibrate.ts";

export type { MixName };

/** Names of mixes. */
export const MIXES = Object.keys(TABLE) as readonly MixName[];

/** How to quantize. */
export interface QuantizeOptions {
  /**
   * The format of all weights; "f16" and "f32" only change the layout. Default: each matrix keeps
   * the format that the input has it in, to the bit; a checkpoint's F32, F16 and BF16 become the
   * mix "standard".
   */
  readonly weights?: PackableName;
  /** A format for each kind of matrix instead (src/model/mixes.ts). */
  readonly mix?: MixName;
  /**
   * A file of text like that which the model will see: errors of weights count by what they are
   * multiplied with there. The model runs over the first 8,192 tokens, whole in memory and in f32
   * where the input is not quantized.
   */
  readonly calibrate?: string;
  /** Threads that convert and run the model; default: physical cores. */
  readonly threads?: number;
  /** Bytes written, including those of an earlier run, and the total. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Tokens of the text that have been run, and how many there are. */
  readonly onCalibrate?: (done: number, total: number) => void;
  /** Ends the work; written bytes stay, and the same call resumes. */
  readonly signal?: AbortSignal;
}

/** What has been written. */
export interface Quantized {
  /** In words: "q4", "q4_k (with q6_k, q8)". */
  readonly weights: string;
  /** The input's quantized formats whose values were rounded once more; by default none are. */
  readonly roundedAgain: readonly string[];
  /** Bytes of all safetensors files. */
  readonly bytes: number;
  /** How many of them there are. */
  readonly files: number;
  /** Bytes that this call has written: fewer if it resumed an earlier one. */
  readonly written: number;
  /** What it took. */
  readonly ms: number;
}

/**
 * This package's version: package.json is two folders above this file, three above
 * the compiled one.
 */
function version(): string {
  for (const path of ["../../package.json", "../../../package.json"]) {
    const url = new URL(path, import.meta.url);
    if (existsSync(url)) return (JSON.parse(readFileSync(url, "utf8")) as { readonly version: string }).version;
  }
  throw new Error("package.json is not where this package has it");
}

/**
 * Writes a model's weights to the folder `to` in the layout that the kernels take
 * (src/weights/packed_folder.ts). The same call resumes one that was interrupted, even by a kill;
 * the result has the same bytes.
 * @param from a folder of weights, a GGUF file, the name of a downloaded model, or `synthetic:...`
 * @param to a folder that does not exist, is empty, or was left incomplete by the same call
 * @throws RequestError for a wrong option or an input that is packed already; WeightsError for
 * faults of either folder or its disk; the signal's reason
 */
export async function quantize(from: string, to: string, options: QuantizeOptions = {}): Promise<Quantized> {
  const started = performance.now();
  const { weights: asked, mix, threads = usableCores(), signal, onProgress = () => {} } = options;
  if (asked !== undefined && !PACKABLE.includes(asked))
    throw new RequestError(`weights: expected one of ${PACKABLE.join(", ")}, found ${String(asked)}`);
  if (mix !== undefined && !MIXES.includes(mix))
    throw new RequestError(`mix: expected one of ${MIXES.join(", ")}, found ${String(mix)}`);
  if (mix !== undefined && asked !== undefined)
    throw new RequestError("quantize: expected weights, one format for all, or a mix of them, found both");
  if (options.calibrate !== undefined && asked && FORMATS[asked].planes.length === 1)
    throw new RequestError(`calibrate: ${asked} has no scales to choose by a text; leave it out`);
  if (!Number.isSafeInteger(threads) || threads < 1)
    throw new RequestError(`threads: expected a whole number of at least 1, found ${String(threads)}`);
  for (const path of [from, to])
    if (typeof path !== "string" || path === "") throw new RequestError("quantize: expected the paths of two folders");
  signal?.throwIfAborted();
  const input = isSynthetic(from) ? syntheticInput(from) : await folderInput(await placeOf(from));
  try {
    const { architecture, source, label } = input;
    if (architecture.stored !== null)
      throw new RequestError(
        `${from} is quantized already (${architecture.stored.text}, by hotset quantize); quantize the original that it was made of`,
      );
    const bound = await settleSources(bindSources(architecture, source));
    const text = options.calibrate === undefined ? null : await calibrationText(options.calibrate);
    const depth = bound.layers.length;
    const standard = mixPlan(mix ?? "standard", bound);
    const plan = asked ? packAll(FORMATS[asked]) : mix ? standard : keepOr(standard);
    if (text !== null && !roundsAny(bound, plan))
      throw new RequestError(
        `calibrate: all matrices of ${from} stay as they are, and none is rounded by a text; leave it out, or name a mix or a format`,
      );
    const formats = plannedFormats(bound, plan);
    const weights = formats.text;
    const shards = storedShards(bound, formats);
    const quantization_config = quantizationConfig(formats, depth);
    const metadata = { hotset: version(), format: String(quantization_config.format), source: label, weights };
    const layout = layOutShards(
      shards.map((tensors) =>
        tensors.map(({ name, kind, shape }) => ({ name, dtype: kind === "f32" ? "F32" : "U8", shape })),
      ),
      metadata,
    );
    const total = layout.reduce((sum, { bytes }) => sum + bytes, 0);
    const result = { weights, roundedAgain: roundedAgain(bound, plan), bytes: total, files: layout.length };
    const seen = text === null ? "" : createHash("sha256").update(text).digest("hex");
    const writer = await openPackedWriter(to, { ...metadata, input: input.fingerprint + seen }, layout);
    if (writer === null) return { ...result, written: 0, ms: performance.now() - started };
    const before = writer.written;
    let packer: Packer | null = null;
    try {
      enableWasmFeatures();
      const sources =
        text === null ? bound : await calibrated(from, architecture, bound, text, { ...options, threads });
      const weighed = sources === bound ? shards : storedShards(sources, formats);
      packer = await createPacker({ threads, startWorker: startNodeWorker });
      const tensors = new Map(weighed.flat().map((tensor) => [tensor.name, tensor]));
      onProgress(before, total);
      for (let next = writer.next; next !== null; next = writer.next) {
        signal?.throwIfAborted();
        const { shard, part } = next;
        const produce: Produce =
          part.tensor === null ? (sink) => sink(shard.header) : produceOf(packer, tensors.get(part.tensor)!, signal);
        await writer.write(produce, (done) => onProgress(done, total));
      }
      signal?.throwIfAborted();
      const raw = { ...(input.raw as object), quantization_config };
      await writer.finish(await input.small(), `${JSON.stringify(raw, null, 2)}\n`);
    } finally {
      packer?.close();
      await writer.close();
    }
    return { ...result, written: total - before, ms: performance.now() - started };
  } finally {
    await input.close();
  }
}

async function calibrated(
  from: string,
  architecture: Architecture,
  sources: ModelSources,
  text: string,
  { onCalibrate, signal, threads = 1 }: QuantizeOptions,
): Promise<ModelSources> {
  if (isSynthetic(from)) throw new RequestError(`calibrate: ${from} has no tokenizer; name a folder or a GGUF file`);
  const files = await tokenizerFiles(await nodeFolderOrFile(await placeOf(from)));
  try {
    const tokenizer = await openTokenizer(files);
    const options = { threads, signal, ...(onCalibrate && { onProgress: onCalibrate }) };
    return (await calibrate(architecture, sources, tokenizer, text, options)).apply(sources);
  } finally {
    await files.close();
  }
}

/**
 * Checks every byte of a folder that quantize() wrote against its checksums. Resolves to the number
 * of those bytes.
 * @throws WeightsError naming the file, the tensor and the bytes of the first part that differs
 */
export async function verifyQuantized(
  folder: string,
  { onProgress, signal }: Pick<QuantizeOptions, "onProgress" | "signal"> = {},
): Promise<number> {
  const files = await nodeFiles(folder);
  try {
    return await verifyFolder(files, onProgress, signal);
  } finally {
    await files.close();
  }
}

function produceOf(packer: Packer, tensor: StoredTensor, signal: AbortSignal | undefined): Produce {
  switch (tensor.kind) {
    case "record":
      return (sink) => packer.expert(tensor.source, tensor.expert, sink, signal);
    case "panels":
      return (sink) => packer.matrix(tensor.source, tensor.format, sink, signal);
    case "order":
      return (sink) => sink(new Uint8Array(tensor.lists.slice().buffer));
    case "f32":
      return async (sink) => {
        const { rows, cols } = tensor.source;
        const values = new Float32Array(rows * cols); // a norm or a gate: small
        await tensor.source.readRows(0, rows, values);
        await sink(new Uint8Array(values.buffer));
      };
  }
}

interface Input {
  /** Its name in the output, without the path, which is private. */
  readonly label: string;
  readonly raw: unknown;
  readonly architecture: Architecture;
  readonly source: WeightSource;
  /** Changes when a file changes. */
  readonly fingerprint: string;
  /** Files to copy. */
  small(): Promise<SmallFile[]>;
  close(): Promise<void>;
}

function syntheticInput(url: string): Input {
  const { config: raw, source } = parseSynthetic(url);
  const architecture = readArchitecture(raw, url);
  return { label: url, raw, architecture, source, fingerprint: "", small: async () => [], close: async () => {} };
}

async function folderInput(path: string): Promise<Input> {
  const { files: given, file } = await nodeFolderOrFile(path);
  const folder = await openFolder(given, file); // closes `given` if it throws
  const { files } = folder;
  try {
    const architecture = readArchitecture(folder.config, `${folder.label}/config.json`);
    const hash = createHash("sha256");
    const copied: string[] = [];
    const root = file === null ? path : dirname(path);
    const shards = folder.headers.map((header) => header.file);
    const names = [...(await files.list())];
    for (const sub of COPIED_FOLDERS) names.push(...(await files.list(sub)).map((name) => `${sub}/${name}`));
    for (const name of names.sort()) {
      const size = await files.size(name).catch(() => null); // a dead link, a vocabulary that is not read
      if (size !== null && isSmallFile(name, size)) copied.push(name);
    }
    for (const name of [...copied, "config.json", ...shards].sort()) {
      // those of a GGUF file are made of it
      const found = await stat(join(root, name)).catch(() => null);
      hash.update(`${name} ${found?.size} ${found?.mtimeMs}\n`);
    }
    return {
      label: basename(resolve(path)),
      raw: folder.config,
      architecture,
      source: folder.source,
      fingerprint: hash.digest("hex"),
      small: () =>
        Promise.all(copied.map(async (name) => ({ name, bytes: (await readBytes(files, name, SMALL_FILE))! }))),
      close: () => folder.close(),
    };
  } catch (error) {
    await folder.close();
    throw error;
  }
}
