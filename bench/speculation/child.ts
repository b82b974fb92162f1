// `node dist/bench/speculation/child.js <task as JSON>`: one way of drafting over all texts, in a
// process of its own.

import { createHash } from "node:crypto";
import { cpus } from "node:os";
import { startNodeWorker, usableCores } from "../../src/backend/cpu/node_threads.ts";
import { enableWasmFeatures } from "../../src/backend/cpu/node_wasm.ts";
import { openNodeGpu } from "../../src/backend/webgpu/device/node_gpu.ts";
import { openChat } from "../../src/chat/conventions.ts";
import type { GenerateOptions, GenerationResult } from "../../src/engine/api.ts";
import type { Model } from "../../src/engine/model.ts";
import { nodeFolderOrFile } from "../../src/weights/node_files.ts";
import { openWithDraft } from "../../src/wiring/open_with_draft.ts";
import { SimulatedDisk } from "../simulated_disk.ts";
import { consult, type Oracle } from "./oracle.ts";
import { countSubmits, type Submits } from "./submits.ts";
import { TEXTS, type Text } from "./texts.ts";

/** Bytes of RAM that the models may take. */
const RAM = 8 * 2 ** 30;

export interface Task {
  readonly model: string;
  readonly weights: string;
  readonly threads: number;
  /** Part of a WebGPU adapter's name; null: the CPU computes. */
  readonly adapter: string | null;
  readonly tokens: number;
  /** "off", "lookup", "oracle all", "oracle known" (oracle.ts), or the draft model. */
  readonly way: string;
  /** Experts of each layer in RAM; null: all. */
  readonly slots: number | null;
  /** Milliseconds that a read of an expert takes at least, one after the other. */
  readonly readMs: number;
}

/** One text. */
export interface Row {
  readonly name: string;
  readonly kind: Text["kind"];
  readonly decodeTps: number;
  /** Of all threads, after the first token. */
  readonly cpuMs: number;
  readonly tokens: number;
  readonly drafted: number;
  readonly accepted: number;
  /** To a GPU, after the first token; null on the CPU. */
  readonly submits: number | null;
  /** Experts that steps after the first token used and that were in no slot; null: all have one. */
  readonly missing: number | null;
  /** Of the answer's ids. */
  readonly digest: string;
}

/** What the GPU is given; of the CPU none. */
let submits: Submits | null = null;

async function opened({ model, weights, threads, adapter, way, slots }: Task, disk: SimulatedDisk): Promise<Model> {
  enableWasmFeatures();
  const own = oracleOf(way) ? "lookup" : way;
  const drafts = own === "off" || own === "lookup" ? { speculation: own } : { draft: own };
  const options = {
    ...({ threads, ...drafts } as { threads: number; speculation?: "off" | "lookup" }),
    backend: adapter === null ? ("cpu" as const) : ("webgpu" as const),
    ...(adapter !== null && { adapter }),
    ...(weights !== "auto" && { weights: weights as "f32" }),
    ...(slots !== null && { expertSlots: slots }),
  };
  return openWithDraft(model, options, {
    async files(where) {
      const { files, file } = await nodeFolderOrFile(where);
      return { files: where === model ? disk.before(files) : files, file };
    },
    async gpu(name) {
      const found = await openNodeGpu(name);
      if (found) submits = countSubmits(found.gpu);
      return found;
    },
    ...{ mayHaveGpu: adapter !== null, ram: RAM, cpuName: cpus()[0]?.model.trim() ?? "CPU" },
    ...{ cores: usableCores(), chat: openChat, spill: () => null, identity: (where) => where },
    tuning: { read: async () => null, write: async () => {} }, // what earlier runs learned would differ
    startWorker: startNodeWorker,
  });
}

/** Experts that were in no slot, until now; null where all are in memory. */
function missing(model: Model): number | null {
  const { experts } = model.stats();
  return experts?.main.layers.reduce((sum, { misses }) => sum + misses, 0) ?? null;
}

/** A text's row, and the ids of its answer. */
async function measured(model: Model, { name, kind, prompt, held }: Text, tokens: number) {
  const session = model.session();
  const pattern = held?.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  const constraint = pattern === undefined ? undefined : await (await model.grammars.regex(pattern)).matcher();
  const free = kind === "usual" ? { temperature: 0.8, topP: 0.95 } : { temperature: 0 };
  const options: GenerateOptions = { maxTokens: tokens, seed: 7, ...free, ignoreEos: true };
  const { ignoreEos: _, ...ending } = options;
  const ids: number[] = [];
  let finish: GenerationResult | undefined;
  let before: NodeJS.CpuUsage | undefined;
  let submitted = 0;
  let missed = 0;
  try {
    for await (const piece of session.generate(prompt, constraint ? { ...ending, constraint } : options)) {
      if (!before) [submitted, missed] = [submits?.count ?? 0, missing(model) ?? 0];
      before ??= process.cpuUsage();
      ids.push(...piece.ids);
      finish = piece.finish;
    }
  } finally {
    constraint?.close();
    session.close();
  }
  const { user, system } = process.cpuUsage(before);
  const { drafted, accepted } = finish!.speculation ?? { drafted: 0, accepted: 0 };
  const digest = createHash("sha256").update(ids.join(" ")).digest("hex").slice(0, 16);
  const { decodeTps } = finish!.timings;
  const since = missing(model);
  const counts = {
    ...{ tokens: ids.length, drafted, accepted, submits: submits && submits.count - submitted },
    missing: since === null ? null : since - missed,
  };
  const row: Row = { name, kind, decodeTps, cpuMs: (user + system) / 1000, ...counts, digest };
  return { row, ids };
}

/** The same with drafts that are right, after a run without any, which is not measured. */
async function foretold(model: Model, text: Text, tokens: number, answers: ReturnType<typeof consult>) {
  answers(null);
  const { ids } = await measured(model, text, tokens);
  const { tokenizer } = model;
  answers({ prompt: tokenizer.encode(text.prompt, { addBos: tokenizer.bosId !== null }), ids });
  return measured(model, text, tokens);
}

function oracleOf(way: string): Oracle | null {
  return way === "oracle all" ? "all" : way === "oracle known" ? "known" : null;
}

const task = JSON.parse(process.argv[2] ?? "") as Task;
const disk = new SimulatedDisk({ readMs: task.readMs });
const model = await opened(task, disk);
disk.on = true;
const oracle = oracleOf(task.way);
const answers = oracle && consult(oracle, model.tokenizer);
const one = (text: Text, tokens: number) =>
  answers ? foretold(model, text, tokens, answers) : measured(model, text, tokens);
const rows: Row[] = [];
// The first round tells what steps cost here, as a server's first answers do.
for (const text of TEXTS) await one(text, Math.min(task.tokens, 40));
for (const text of TEXTS) rows.push((await one(text, task.tokens)).row);
await model.close();
console.log(JSON.stringify(rows));
