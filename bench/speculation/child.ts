// `node dist/bench/speculation/child.js <task as JSON>`: ways of drafting over all texts, which
// take turns text by text on one model, or one of them.

import { createHash } from "node:crypto";
import { cpus } from "node:os";
import { startNodeWorker, usableCores } from "../../src/backend/cpu/node_threads.ts";
import { enableWasmFeatures } from "../../src/backend/cpu/node_wasm.ts";
import { openNodeGpu } from "../../src/backend/webgpu/device/node_gpu.ts";
import { openChat } from "../../src/chat/conventions.ts";
import type { GenerateOptions, GenerationResult } from "../../src/engine/api.ts";
import type { Model } from "../../src/engine/model.ts";
import { spellingOf } from "../../src/engine/spelling.ts";
import { nodeFolderOrFile } from "../../src/weights/node_files.ts";
import { openWithDraft } from "../../src/wiring/open_with_draft.ts";
import { SimulatedDisk } from "../simulated_disk.ts";
import { heldTo } from "./held.ts";
import { switchDrafts } from "./off.ts";
import { consult, type Oracle } from "./oracle.ts";
import { type Replayed, replayed } from "./replay.ts";
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
  readonly ways: readonly string[];
  /** Which of the repeats it is: in every other one the last way is the first. */
  readonly repeat: number;
  /** Experts of each layer in RAM; null: all. */
  readonly slots: number | null;
  /** Whether answers without drafts are to be replayed with them (replay.ts). */
  readonly replay?: boolean;
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

export interface ReplayedText extends Replayed, Pick<Text, "name" | "kind"> {}

/** What the GPU is given; of the CPU none. */
let submits: Submits | null = null;

async function opened({ model, weights, threads, adapter, ways, slots }: Task, disk: SimulatedDisk): Promise<Model> {
  enableWasmFeatures();
  const own = ways.find((way) => way !== "off" && !oracleOf(way)) ?? (ways.some(oracleOf) ? "lookup" : "off");
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
async function measured(model: Model, text: Text, tokens: number) {
  const { name, kind, prompt } = text;
  const session = model.session();
  const { constraint, most } = await heldTo(model, text, tokens);
  const free = kind === "usual" ? { temperature: 0.8, topP: 0.95 } : { temperature: 0 };
  const held = constraint ? { constraint } : { ignoreEos: true };
  const options: GenerateOptions = { maxTokens: most, seed: 7, ...free, ...held };
  const ids: number[] = [];
  let finish: GenerationResult | undefined;
  let before: NodeJS.CpuUsage | undefined;
  let submitted = 0;
  let missed = 0;
  try {
    for await (const piece of session.generate(prompt, options)) {
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

/** Answers without drafts, by text and length. */
const answers = new Map<string, readonly number[]>();

/** An answer by one way; of an oracle after one without drafts, which is not measured. */
async function answered(model: Model, way: string, text: Text, tokens: number): Promise<Row> {
  const which = oracleOf(way);
  const key = `${text.name} ${tokens}`;
  switchDrafts(false);
  if (which && !answers.has(key)) answers.set(key, (await measured(model, text, tokens)).ids);
  switchDrafts(way !== "off");
  const prompt = promptOf(model, text);
  draftFrom(which && { which, answer: { prompt, ids: answers.get(key)! } });
  return (await measured(model, text, tokens)).row;
}

function promptOf({ tokenizer }: Model, { prompt }: Text): number[] {
  return tokenizer.encode(prompt, { addBos: tokenizer.bosId !== null });
}

/** All ways in turn; by way the rows. */
async function compare(model: Model, { ways, repeat, tokens }: Task): Promise<Record<string, Row[]>> {
  // The first round tells what steps cost here, as a server's first answers do.
  for (const text of TEXTS) for (const way of ways) await answered(model, way, text, Math.min(tokens, 40));
  const rows = new Map<string, Row[]>(ways.map((way) => [way, []]));
  for (const [at, text] of TEXTS.entries()) {
    const turns = (at + repeat) % 2 === 0 ? ways : [...ways].reverse();
    for (const way of turns) rows.get(way)!.push(await answered(model, way, text, tokens));
  }
  return Object.fromEntries(rows);
}

async function replay(model: Model, tokens: number): Promise<ReplayedText[]> {
  const { vocabSize } = model.tokenizer;
  const spelling = spellingOf(model.tokenizer, vocabSize);
  const found: ReplayedText[] = [];
  for (const text of TEXTS) {
    const { ids } = await measured(model, text, tokens);
    const answer = { prompt: promptOf(model, text), ids };
    found.push({ name: text.name, kind: text.kind, ...replayed(answer, spelling, vocabSize) });
  }
  return found;
}

function oracleOf(way: string): Oracle | null {
  return way === "oracle all" ? "all" : way === "oracle known" ? "known" : null;
}

const task = JSON.parse(process.argv[2] ?? "") as Task;
const disk = new SimulatedDisk({ readMs: task.readMs });
const model = await opened(task, disk);
disk.on = true;
const draftFrom = consult(model.tokenizer);
const found = task.replay ? await replay(model, task.tokens) : await compare(model, task);
await model.close();
console.log(JSON.stringify(found));
