// `npm run bench -- newcomers`: the first token of short answers that come while long ones have all
// places, and what their coming costs the long ones.
//
// Runs with newcomers and without alternate, so that their ratio is of the same minutes.

import { parseArgs } from "node:util";
import type { ChatModel } from "../src/index.ts";
import { exitCode, MODEL_OPTIONS, openModel, whole } from "./arguments.ts";
import { about, writeResult } from "./result.ts";
import { percentile, Work } from "./work.ts";

const USAGE = `usage: npm run bench -- newcomers [--model <folder>] [--long <answers>] [--tokens <of a long one>] [--seconds <each>] [--rounds <number>]
         [--weights <precision>] [--backend <cpu|webgpu>] [--threads <number>] [--name <of the result>]`;
const SHORT = 16;

/** Of answers that were cut off at the end, the tokens that had a text of their own count. */
class Tally extends Work {
  readonly firsts: number[] = []; // ms, of newcomers
}

/** Keeps `long` places busy for `seconds`; one newcomer comes after the other if they `come`. */
async function run(chat: ChatModel, o: { long: number; tokens: number; seconds: number; come: boolean }, tally: Tally) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(new Error("time is up")), 1000 * o.seconds);
  let next = 0;
  const one = async (maxTokens: number, noted: number[] | null): Promise<void> => {
    const prompt = Array.from({ length: 16 }, (_, i) => (i === 0 ? 1 : 3 + ((i * (next + 7) + next) % 4000)));
    next++;
    const options = { temperature: 0, ignoreEos: true, maxTokens, signal: abort.signal };
    const asked = performance.now();
    let texts = 0;
    for await (const event of chat.complete(prompt, options)) {
      if (event.type === "finish") tally.tokens += event.usage.completionTokens - texts;
      if (event.type !== "text") continue;
      if (texts++ === 0) noted?.push(performance.now() - asked);
      tally.tokens++;
    }
  };
  const until = async (what: () => Promise<void>): Promise<void> => {
    try {
      while (!abort.signal.aborted) await what();
    } catch (error) {
      if (!abort.signal.aborted) throw error;
    }
  };
  await tally.during(() => {
    const long = Array.from({ length: o.long }, () => until(() => one(o.tokens, null)));
    const newcomers = o.come ? [until(() => one(SHORT, tally.firsts))] : [];
    return Promise.all([...long, ...newcomers]);
  });
  clearTimeout(timer);
}

/** Runs the command; returns the exit code. */
export function newcomersCommand(root: URL, args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse, (options) => measure(root, args, options));
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...MODEL_OPTIONS,
      long: { type: "string", default: "16" },
      tokens: { type: "string", default: "1500" },
      seconds: { type: "string", default: "10" },
      rounds: { type: "string", default: "3" },
    },
  });
  return {
    flags: values,
    long: whole("long", values.long),
    tokens: whole("tokens", values.tokens),
    seconds: whole("seconds", values.seconds),
    rounds: whole("rounds", values.rounds),
  };
}

async function measure(root: URL, args: readonly string[], options: ReturnType<typeof parse>): Promise<number> {
  const { flags, long, tokens, seconds, rounds } = options;
  const model = await openModel(flags);
  try {
    const chat = model.serving({ parallel: long, queue: 256 });
    const [without, together] = [new Tally(), new Tally()];
    for (let round = 0; round < rounds; round++) {
      await run(chat, { long, tokens, seconds, come: false }, without);
      await run(chat, { long, tokens, seconds, come: true }, together);
    }
    const rate = (tally: Tally): number => Math.round(tally.tokensPerSecond);
    const row = {
      ...{ long, newcomers: together.firsts.length },
      firstMs: { p50: percentile(together.firsts, 0.5), p99: percentile(together.firsts, 0.99) },
      tokensPerSecond: { without: rate(without), together: rate(together) },
      cpuMsPerToken: { without: without.cpuMsPerToken, together: together.cpuMsPerToken },
    };
    const { backend, weights } = model.stats();
    console.log(`${flags.model}, ${weights} weights on ${backend.backend}, ${long} long answers, as many places`);
    console.log(
      `${row.newcomers} newcomers: first token p50 ${Math.round(row.firstMs.p50)} ms, p99 ${Math.round(row.firstMs.p99)} ms`,
    );
    for (const [what, { without, together }] of [
      ["tokens/s", row.tokensPerSecond],
      ["CPU ms a token", row.cpuMsPerToken],
    ] as const)
      console.log(`${what}: ${without} without newcomers, ${together} with them`);
    if (flags.name !== undefined)
      writeResult(root, flags.name, {
        ...about(root, flags.name, ["newcomers", ...args]),
        weights,
        backend,
        rows: [row],
      });
    return 0;
  } finally {
    await model.close();
  }
}
