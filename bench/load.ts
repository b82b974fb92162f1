// `npm run bench -- load`: many sessions streaming at once, against the same requests alone.
//
// Each client requests one answer after the other. Client counts alternate within a run, so that
// their ratios are of the same minutes. Every answer is compared with the one that its prompt gave
// alone, greedily.

import { parseArgs } from "node:util";
import type { Model } from "../src/index.ts";
import { exitCode, MODEL_OPTIONS, openModel, whole, wholes } from "./arguments.ts";
import { about, writeResult } from "./result.ts";
import { percentile, Work } from "./work.ts";

const USAGE = `usage: npm run bench -- load [--model <folder>] [--clients 1,4,16,64] [--seconds <each>] [--rounds <number>]
         [--weights <precision>] [--backend <cpu|webgpu>] [--threads <number>] [--tokens <of an answer>] [--name <of the result>]`;

interface Prompt {
  readonly ids: readonly number[];
  /** The answer of greedy decoding alone. */
  readonly answer: readonly number[];
}

/** Results of one client count, over all rounds. */
class Tally extends Work {
  answers = 0;
  wrong = 0;
  readonly firsts: number[] = []; // ms to the first token of an answer
  readonly gaps: number[] = []; // ms between two of its tokens
}

/** Runs `clients` for `seconds`; unfinished answers are then cancelled. */
async function run(model: Model, prompts: readonly Prompt[], clients: number, seconds: number, tally: Tally) {
  let next = 0;
  const client = async (): Promise<void> => {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(new Error("time is up")), 1000 * seconds);
    while (!abort.signal.aborted) {
      const prompt = prompts[next++ % prompts.length]!;
      const session = model.session();
      const found: number[] = [];
      let last = performance.now();
      const options = { temperature: 0, ignoreEos: true, maxTokens: prompt.answer.length, signal: abort.signal };
      try {
        for await (const { ids } of session.generate(prompt.ids, options)) {
          if (ids.length === 0) continue;
          const now = performance.now();
          (found.length === 0 ? tally.firsts : tally.gaps).push(now - last);
          last = now;
          found.push(...ids);
          tally.tokens += ids.length;
        }
        tally.answers++;
      } catch (error) {
        if (!abort.signal.aborted) throw error;
      } finally {
        session.close();
      }
      if (found.some((id, i) => id !== prompt.answer[i])) tally.wrong++;
    }
    clearTimeout(timer);
  };
  await tally.during(() => Promise.all(Array.from({ length: clients }, client)));
}

/** Prompts of 12 to 27 tokens, and their answers one after the other. */
async function makePrompts(model: Model, count: number, tokens: number): Promise<Prompt[]> {
  const prompts: Prompt[] = [];
  let state = 12345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  const vocab = model.config.vocab_size;
  for (let i = 0; i < count; i++) {
    const ids = Array.from({ length: 12 + (i % 16) }, (_, at) => (at === 0 ? 1 : 3 + random(vocab - 3)));
    const session = model.session();
    const answer: number[] = [];
    for await (const piece of session.generate(ids, { temperature: 0, ignoreEos: true, maxTokens: tokens }))
      answer.push(...piece.ids);
    session.close();
    prompts.push({ ids, answer });
  }
  return prompts;
}

function summary(clients: number, tally: Tally) {
  const { answers, wrong, firsts, gaps } = tally;
  const round = (x: number): number => Math.round(10 * x) / 10;
  return {
    clients,
    tokensPerSecond: round(tally.tokensPerSecond),
    cpuMsPerToken: tally.cpuMsPerToken,
    answers,
    wrong,
    firstMs: { p50: round(percentile(firsts, 0.5)), p99: round(percentile(firsts, 0.99)) },
    gapMs: { p50: round(percentile(gaps, 0.5)), p99: round(percentile(gaps, 0.99)) },
  };
}

/** Runs the command; returns the exit code. */
export function loadCommand(root: URL, args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse, (options) => measure(root, args, options));
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...MODEL_OPTIONS,
      clients: { type: "string", default: "1,4,16,64" },
      seconds: { type: "string", default: "10" },
      rounds: { type: "string", default: "2" },
      tokens: { type: "string", default: "48" },
    },
  });
  return {
    flags: values,
    counts: wholes("clients", values.clients),
    seconds: whole("seconds", values.seconds),
    rounds: whole("rounds", values.rounds),
    tokens: whole("tokens", values.tokens),
  };
}

async function measure(root: URL, args: readonly string[], options: ReturnType<typeof parse>): Promise<number> {
  const { flags, counts, seconds, rounds, tokens } = options;
  const model = await openModel(flags);
  try {
    const prompts = await makePrompts(model, 64, tokens);
    const tallies = new Map(counts.map((clients) => [clients, new Tally()]));
    for (let round = 0; round < rounds; round++) {
      for (const [clients, tally] of tallies) await run(model, prompts, clients, seconds, tally);
    }
    const { backend, weights, memory, blocks } = model.stats();
    const held = blocks.blocks - blocks.free - blocks.cached;
    console.log(`${flags.model}, ${weights} weights on ${backend.backend}, ${backend.threads} threads`);
    console.log(
      "clients   tokens/s   CPU ms a token   first token p50, p99 ms   between tokens p50, p99 ms   answers, wrong",
    );
    const rows = [...tallies].map(([clients, tally]) => summary(clients, tally));
    for (const { clients, tokensPerSecond, cpuMsPerToken, firstMs, gapMs, answers, wrong } of rows) {
      const cells = [
        clients,
        tokensPerSecond,
        cpuMsPerToken,
        `${firstMs.p50}, ${firstMs.p99}`,
        `${gapMs.p50}, ${gapMs.p99}`,
      ];
      const widths = [7, 11, 17, 26, 29];
      console.log(`${cells.map((cell, i) => String(cell).padStart(widths[i]!)).join("")}   ${answers}, ${wrong}`);
    }
    console.log(`blocks held after: ${held} (${blocks.cached} cached, ${blocks.free} free)`);
    if (flags.name !== undefined) {
      const head = about(root, flags.name, ["load", ...args]);
      writeResult(root, flags.name, { ...head, model: flags.model, weights, backend, memory, blocks, rows });
    }
    return held > 0 || rows.some(({ wrong }) => wrong > 0) ? 1 : 0;
  } finally {
    await model.close();
  }
}
