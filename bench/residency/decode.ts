// One measured decode: a short prompt, warm-up tokens, and then the measured ones.

import { writeFileSync } from "node:fs";
import { randomFrom } from "../../src/engine/random.ts";
import type { ExpertStats } from "../../src/experts/stats.ts";
import { nodeFolderOrFile } from "../../src/weights/node_files.ts";
import { SimulatedDisk } from "../simulated_disk.ts";
import { openKept, openUncached } from "./model.ts";
import { peaks, processFigures, since } from "./process.ts";
import type { DecodeReport, DecodeTask, ProcessFigures, Read, Reads } from "./types.ts";
import { WatchedFiles } from "./watched.ts";

/** Figures at the first measured token. */
interface Start {
  readonly experts: ExpertStats;
  readonly process: ProcessFigures;
  readonly reads: number;
}

export async function decode(task: DecodeTask): Promise<DecodeReport> {
  const { way, folder, ram, context, promptTokens, warmUp, tokens } = task;
  const { files: stored, file } = await nodeFolderOrFile(folder);
  const simulated = typeof task.rate === "number" ? task.rate : null;
  const disk = new SimulatedDisk({ bytesPerSecond: simulated ?? Number.POSITIVE_INFINITY, empty: true });
  const files = new WatchedFiles(disk.before(stored), way === "kept");
  const times: number[] = [];
  let start: Start | null = null;
  const setting = {
    files,
    file,
    context,
    learned: task.learned,
    onRoutes({ tokens: n, sequences }: { tokens: number; sequences: number }) {
      if (n !== sequences) return; // of the prompt
      times.push(performance.now());
      if (times.length !== warmUp + 1) return;
      start = { experts: model.stats().experts!, process: processFigures(), reads: files.reads.length };
      files.inFlight = 0;
    },
  };
  const model = await (way === "kept"
    ? openKept(folder, ram, setting)
    : openUncached(folder, way === "uncached", setting));
  try {
    disk.on = simulated !== null;
    if (!model.stats().experts)
      throw new Error(`all experts of ${folder} fit the budget: nothing is read while it decodes`);
    const random = randomFrom(1);
    const prompt = Array.from({ length: promptTokens }, () => Math.floor(random() * model.config.vocab_size));
    const session = model.session();
    // The prompt gives the first token, each step another one; the last token is
    // not computed itself.
    const maxTokens = warmUp + tokens + 2;
    for await (const _ of session.generate(prompt, { maxTokens, temperature: 0, ignoreEos: true }));
    const end = { experts: model.stats().experts!, process: since(start!.process) };
    session.close();
    const { before, measured } = {
      before: files.reads.slice(0, start!.reads),
      measured: files.reads.slice(start!.reads),
    };
    if (task.reads) {
      const reads: Reads = { before, measured, inFlight: files.inFlight };
      writeFileSync(task.reads, JSON.stringify(reads));
    }
    return {
      tokenMs: times.slice(warmUp + 1).map((at, i) => at - times[warmUp + i]!),
      budgetBytes: ram,
      ...peaks(),
      residentBytes: process.memoryUsage.rss(),
      ...expertFigures(start!.experts, end.experts),
      bypassed: shareOf(measured),
      process: end.process,
    };
  } finally {
    await model.close();
  }
}

/** The part of the bytes that was read past the page cache. */
function shareOf(reads: readonly Read[]): number {
  const sum = (some: readonly Read[]): number => some.reduce((n, [, , bytes]) => n + bytes, 0);
  return sum(reads.filter(([, , , bypass]) => bypass)) / Math.max(1, sum(reads));
}

function expertFigures(before: ExpertStats, after: ExpertStats) {
  const sum = ({ main }: ExpertStats, field: "hits" | "routed"): number =>
    main.layers.reduce((n, layer) => n + layer[field], 0);
  const moved = (cause: "demand" | "prefetch" | "wasted"): number => after.main.bytes[cause] - before.main.bytes[cause];
  const ms = (what: "stall" | "disk" | "hostCompute"): number => after.ms[what] - before.ms[what];
  return {
    slots: after.main.slots,
    experts: after.experts,
    recordBytes: after.recordBytes,
    hitRate: (sum(after, "hits") - sum(before, "hits")) / (sum(after, "routed") - sum(before, "routed")),
    bytes: { demand: moved("demand"), prefetch: moved("prefetch"), wasted: moved("wasted") },
    ms: { stall: ms("stall"), disk: ms("disk"), expertCompute: ms("hostCompute") },
  };
}
