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
}

/** A prompt of so many pseudo-random ids, then so many greedy tokens. */
export interface Turn {
  readonly promptTokens: number;
  readonly decodeTokens: number;
  readonly seed: number;
}

/** The first line: the side can compute. */
export interface TurnsReady {
  readonly engine: string;
  readonly loadMs: number;
}

interface Engine {
  readonly engine: string;
  readonly vocab: number;
  run(ids: readonly number[], count: number): Promise<Timed>;
}

async function ours({ gguf, threads, positions }: TurnSide): Promise<Engine> {
  const model = await open(gguf, { backend: "cpu", threads, context: positions });
  return {
    engine: JSON.stringify(model.stats().backend),
    vocab: model.architecture.vocab,
    async run(ids, maxTokens) {
      const session = model.session();
      const watch = new Stopwatch();
      try {
        for await (const piece of session.generate(ids, { maxTokens, temperature: 0, ignoreEos: true })) {
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

async function peer({ package: folder, gguf, threads, positions }: TurnSide): Promise<Engine> {
  const model = await openLlama(folder, gguf, threads);
  const [prompts, tokens] = [await model.context(positions, false), await model.context(positions, true)];
  return {
    engine: model.engine,
    vocab: model.vocab,
    run: (ids, count) => (count > 1 ? tokens : prompts)(ids, count),
  };
}

const side = JSON.parse(process.argv[2] ?? "") as TurnSide;
const started = performance.now();
const engine = await (side.side === "ours" ? ours(side) : peer(side));
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
say({ engine: engine.engine, loadMs: performance.now() - started } satisfies TurnsReady);
for await (const line of createInterface({ input: process.stdin })) {
  const turn = JSON.parse(line) as Turn;
  say(await engine.run(promptIds(turn, engine.vocab), turn.decodeTokens));
}
process.exit(0); // worker threads would keep it alive
