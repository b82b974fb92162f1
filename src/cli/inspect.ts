// `hotset inspect`: shows the contents of a folder, a GGUF model or a safetensors file, and the
// memory to run it.
// Reads headers only.

import type { Command } from "commander";
import { FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import type { KvPrecision } from "../engine/api.ts";
import { RequestError, WeightsError } from "../errors.ts";
import { placeOf } from "../index.ts";
import type { ModelConfig } from "../model/config.ts";
import { bindSources, readArchitecture } from "../model/families/index.ts";
import { type Architecture, kvGeometry } from "../model/family.ts";
import { footprintOf, kvBlockBytes, parametersOf } from "../model/footprint.ts";
import { automatic, formatsText, keep, ownFormats } from "../model/formats.ts";
import { settleSources } from "../model/input_order.ts";
import { windowsOf } from "../model/layer_kinds.ts";
import { ggufName, isGguf } from "../weights/folder.ts";
import { type GgufReport, inspectGguf } from "../weights/gguf/inspect.ts";
import {
  type ArchitectureReport,
  type Describe,
  type FileReport,
  type FolderReport,
  inspectFile,
  inspectFolder,
} from "../weights/inspect.ts";
import { nodeFolderOrFile } from "../weights/node_files.ts";
import { isSynthetic, parseSynthetic } from "../weights/synthetic.ts";

/** Adds the command to the program. */
export function addInspect(program: Command): void {
  program
    .command("inspect")
    .alias("show")
    .description("show what a weights folder or file contains, and the memory that it needs")
    .argument(
      "<path>",
      "a weights folder, a GGUF file (of a split model any part), one .safetensors file, or the name of a downloaded model",
    )
    .option("--json", "one JSON object")
    .action(async (path: string, options: { json?: true }) => {
      const report = await inspect(path);
      process.stdout.write(`${options.json ? JSON.stringify(report, null, 2) : textOf(report)}\n`);
      if (report.kind !== "file" && report.problem !== null) throw new WeightsError(report.problem);
    });
}

type Report = FolderReport | FileReport | GgufReport;

/**
 * Reports on a folder or a file.
 * @throws WeightsError if it cannot be read, RequestError for a synthetic model
 */
export async function inspect(path: string): Promise<Report> {
  if (isSynthetic(path)) {
    parseSynthetic(path); // an unknown name is said first
    throw new RequestError(
      `${path}: expected a folder or a file, found a synthetic model, which has none; \`hotset bench\` measures it, \`hotset quantize\` writes it to a folder`,
    );
  }
  const { files, file } = await nodeFolderOrFile(await placeOf(path));
  try {
    if (file !== null && !(await isGguf(files, file))) return await inspectFile(files, file);
    const gguf = await ggufName(files, file);
    return gguf === null ? await inspectFolder(files, describeModel) : await inspectGguf(files, gguf, describeModel);
  } finally {
    await files.close();
  }
}

const describeModel: Describe = async (raw, where, source) => {
  const architecture = readArchitecture(raw, where);
  const sources = await settleSources(bindSources(architecture, source));
  const bytes = (name: PackableName): number => footprintOf(sources, keep(FORMATS[name])).weights;
  // Matrices that have formats of their own keep them.
  const memory = ownFormats(sources).has(undefined)
    ? automatic(sources).map((name) => [name, bytes(name)])
    : [[formatsText(sources, keep(FORMATS.f32)), bytes("f32")]];
  return {
    config: architecture.config,
    parameters: parametersOf(architecture, sources),
    memory: Object.fromEntries(memory) as Record<string, number>,
    ...cacheOf(architecture),
  };
};

/** What the KV cache takes a position, and for windows. */
function cacheOf(architecture: Architecture): Pick<ArchitectureReport, "kvPerPosition" | "kvWindow" | "kv"> {
  const found = windowsOf(architecture);
  const windows = found && found.positions < architecture.context ? found : undefined;
  const geometry = { ...kvGeometry(architecture), ...(windows && { windows }) };
  const positions = windows?.positions ?? 0;
  const bytes = (precision: KvPrecision) => {
    const { blockBytes, paneBytes } = kvBlockBytes(geometry, precision, 1);
    return { position: blockBytes, windows: positions * paneBytes };
  };
  const kv = { f32: bytes("f32"), f16: bytes("f16"), q8: bytes("q8") };
  return { kvPerPosition: kv.f16.position, ...(windows && { kvWindow: { positions, bytes: kv.f16.windows } }), kv };
}

function textOf(report: Report): string {
  if (report.kind === "file") return fileText(report);
  return report.kind === "folder" ? folderText(report) : ggufText(report);
}

function folderText(report: FolderReport): string {
  const rows: [string, string][] = [];
  if (report.architecture !== null) {
    const { config, memory } = report.architecture;
    const { stored, ...asked } = config as Partial<ModelConfig> & { readonly stored?: string | null };
    rows.push(["architecture", fields(asked)]);
    rows.push(...sizeRows(report.architecture));
    if (report.quantized) rows.push(["quantized", report.quantized]);
    if (stored) rows.push(["quantized", `${stored}, by hotset quantize: opened without conversion`]);
    const sizes = Object.entries(memory).map(([name, bytes]) => `${name} ${size(bytes)}`);
    rows.push(["memory for weights", sizes.join(", ")]);
    rows.push(["memory for context", contextMemory(report.architecture)]);
  }
  rows.push(["files", `${report.files} safetensors, ${size(report.bytes)}`]);
  for (const line of dtypeLines(report)) rows.push(["tensors", line]);
  rows.push(["tokenizer", report.tokenizer ?? "none"]);
  rows.push(["chat template", report.chatTemplate ?? "none"]);
  return table(report.path, rows);
}

function fileText(report: FileReport): string {
  const metadata = Object.entries(report.metadata).map(([key, value]) => `  ${printable(key)}: ${printable(value)}`);
  return [
    `${report.path}: ${size(report.bytes)}, ${report.tensors.length} tensors (${dtypeLines(report).join("; ")})`,
    ...(metadata.length > 0 ? ["metadata", ...metadata, "tensors"] : []),
    ...report.tensors.map(
      (t) => `  ${printable(t.name)}  ${t.dtype} [${t.shape.join(", ")}]  ${t.end - t.begin} bytes`,
    ),
  ].join("\n");
}

function ggufText(report: GgufReport): string {
  const { parts, types, tensors, architecture, chatTemplates } = report;
  const rows: [string, string][] = [];
  if (architecture === null) rows.push(["architecture", printable(report.name ?? "none")]);
  else {
    const { stored: _, ...asked } = architecture.config as { readonly stored?: unknown };
    rows.push(["architecture", `${report.name}: ${fields(asked)}`], ...sizeRows(architecture));
    const sizes = Object.entries(architecture.memory).map(([name, bytes]) => `${size(bytes)} as ${name}`);
    rows.push(["memory for weights", sizes.join(", ")]);
    rows.push(["memory for context", contextMemory(architecture)]);
  }
  rows.push(["files", `${parts.length} GGUF (version ${report.version}), ${size(report.bytes)}`]);
  for (const t of types) {
    const memory = t.memory === null ? "not computed with" : `${size(t.memory)} in memory`;
    const all = `${count(t.elements)} elements, ${t.bitsPerWeight.toFixed(3)} bits a weight, ${size(t.bytes)}`;
    rows.push(["tensors", `${t.tensors} ${t.type}, ${all}, ${memory}`]);
  }
  rows.push(["tokenizer", printable(report.tokenizer ?? "none")]);
  if (report.tokenizerNote !== null) rows.push(["", printable(report.tokenizerNote)]);
  rows.push(["chat template", printable(chatTemplates.join(", ") || "none")]);
  const shownIn = (file: string): string => (parts.length > 1 ? `  in ${file}` : "");
  return [
    table(report.path, rows),
    "metadata",
    ...Object.entries(report.metadata).map(([key, value]) => `  ${printable(key)}: ${printable(value)}`),
    "tensors",
    ...tensors.map(
      (t) =>
        `  ${printable(t.name)}  ${t.type} [${t.shape.join(", ")}]  ${t.end - t.begin} bytes${printable(shownIn(t.file))}`,
    ),
  ].join("\n");
}

function table(path: string, rows: readonly (readonly [string, string])[]): string {
  return [path, ...rows.map(([name, value]) => `  ${name.padEnd(20)}${value}`)].join("\n");
}

function sizeRows({ parameters }: ArchitectureReport): [string, string][] {
  return [["parameters", `${count(parameters.total)} total, ${count(parameters.active)} active per token`]];
}

function contextMemory({ kv, kvWindow }: ArchitectureReport): string {
  const each = (bytes: (of: { readonly position: number; readonly windows: number }) => number): string =>
    Object.entries(kv)
      .map(([precision, of]) => `${precision} ${size(bytes(of))}`)
      .join(", ");
  const windows = kvWindow ? `; ${each((of) => of.windows)} for windows of ${count(kvWindow.positions)}` : "";
  return `${each((of) => 1024 * of.position)} per 1,024 positions${windows}`;
}

function dtypeLines({ dtypes }: FolderReport | FileReport): string[] {
  return dtypes.map((d) => `${d.tensors} ${d.dtype}, ${count(d.elements)} elements, ${size(d.bytes)}`);
}

function fields(config: object): string {
  return Object.entries(config)
    .map(([key, value]) => (key === "model_type" ? String(value) : `${key} ${JSON.stringify(value)}`))
    .join(", ");
}

/** A name from a file, with control characters escaped. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);
}

function count(n: number): string {
  return n.toLocaleString("en-US");
}

function size(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return unit === 0 ? `${value} bytes` : `${value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}
