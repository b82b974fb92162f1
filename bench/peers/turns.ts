// One side of a comparison over a GGUF file, as a process that stays open: each line of JSON on its
// stdin is a turn, answered by a line on its stdout.
//
// node dist/bench/peers/turns.js '{"side": "ours", "gguf": file, "threads": 2, "positions": 544}'

import { createInterface } from "node:readline";
import { open } from "../../src/index.ts";
import { openLlama, Stopwatch, type Timed } from "./llama_model.ts";
import { promptIds } from "./types.ts";

/** What a process is started with. */
export interface TurnSide {
  readonly side: "ours" | "peer";
  /** The peer's package's folder. */
  readonly package: string;
  readonly gguf: string;
  readonly threads: number;
  /** The most positions of a turn. */
  readonly positions: number;
  /** Our budget in bytes; default: what open() takes. */
  readonly ram?: number | undefined;
  /** Whether the peer reads tensors when they are used and not before. */
  readonly lazy?: boolean;
}

/** A prompt of so many pseudo-random ids, then so many tokens: greedy ones, or random ones. */
export interface Turn {
  readonly promptTokens: number;
  readonly decodeTokens: number;
  readonly seed: number;
  readonly random?: boolean;
}

/** Makes nearly all tokens equally likely. */
const HOT = 100;

/** The first line: the side can compute. */
export interface TurnsReady {
  readonly engine: string;
  readonly loadMs: number;
}

interface Engine {
  readonly engine: string;
  readonly vocab: number;
  run(ids: readonly number[], count: number, temperature: number, seed: number): Promise<Timed>;
}

async function ours({ gguf, threads, positions, ram }: TurnSide): Promise<Engine> {
  const model = await open(gguf, { backend: "cpu", threads, context: positions, ...(ram !== undefined && { ram }) });
  return {
    engine: JSON.stringify(model.stats().backend),
    vocab: model.architecture.vocab,
    async run(ids, maxTokens, temperature, seed) {
      const session = model.session();
      const watch = new Stopwatch();
      try {
        const sampling = { maxTokens, temperature, seed, topK: 0, topP: 1, minP: 0, ignoreEos: true };
        for await (const piece of session.generate(ids, sampling)) {
          if (piece.ids.length > 0) watch.token();
          const cached = piece.finish?.cachedTokens ?? 0;
          if (cached > 0) throw new Error(`${cached} tokens of the prompt were cached: the seed was used before`);
        }
      } finally {
        session.close();
      }
      return watch.read();
    },
  };
}

async function peer({ package: folder, gguf, threads, positions, lazy = false }: TurnSide): Promise<Engine> {
  const model = await openLlama(folder, gguf, threads, lazy);
  const [prompts, tokens] = [await model.context(positions, false), await model.context(positions, true)];
  return {
    engine: model.engine,
    vocab: model.vocab,
    run: (ids, count, temperature, seed) => (count > 1 ? tokens : prompts)(ids, count, { temperature, seed }),
  };
}

const side = JSON.parse(process.argv[2] ?? "") as TurnSide;
const started = performance.now();
const engine = await (side.side === "ours" ? ours(side) : peer(side));
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
say({ engine: engine.engine, loadMs: performance.now() - started } satisfies TurnsReady);
for await (const line of createInterface({ input: process.stdin })) {
  const turn = JSON.parse(line) as Turn;
  say(await engine.run(promptIds(turn, engine.vocab), turn.decodeTokens, turn.random ? HOT : 0, turn.seed));
}
process.exit(0); // worker threads would keep it alive
