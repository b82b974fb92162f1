// `npm run bench -- masks`: the cost of a token's mask for each schema, along texts of
// a random model.
//
// The schemas are JSON Schema's official suite and a few typical ones of tools and answers. The
// vocabularies have 32,000 tokens (Mixtral's) and 200,000 (o200k_base).

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { RequestError } from "../src/errors.ts";
import { createGrammars } from "../src/grammar/grammars.ts";
import type { Grammar, Grammars } from "../src/grammar/types.ts";
import { openTokenizer, type Tokenizer } from "../src/tokenizer/tokenizer.ts";
import { randomFrom, randomText } from "../test/grammar/support.ts";
import { memoryFiles } from "../test/weights/memory_files.ts";
import { exitCode, oneOf, whole } from "./arguments.ts";
import { type Case, OWN, suiteCases } from "./mask_cases.ts";
import { about, writeResult } from "./result.ts";

const USAGE = `usage: npm run bench -- masks [--vocabularies 32k,200k] [--drafts draft2020-12,draft7] [--texts <of each schema>]
         [--only <part of a name>] [--name <of the result>] [--slowest <rows that are printed>]`;

/** The costs of one grammar. */
interface Row {
  readonly name: string;
  readonly compileMs: number;
  readonly masks: number;
  readonly meanMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

async function openVocabulary(root: URL, name: string): Promise<Tokenizer | null> {
  if (name === "200k")
    return openTokenizer(memoryFiles({ "tokenizer_config.json": JSON.stringify({ encoding_name: "o200k_base" }) }));
  const path = fileURLToPath(new URL("../shared/fixtures/tokenizers/mistral-v1/tokenizer.model", root));
  if (existsSync(path)) return openTokenizer(memoryFiles({ "tokenizer.model": readFileSync(path) }));
  console.error(`${path} is not on this machine: the vocabulary of 32k is left out`);
  return null;
}

/** Each mask is computed this often and the shortest time counts: other processes only add time. */
const TRIES = 3;

/** Wraps a grammar so that each mask adds its milliseconds to `times`. */
function timed(grammar: Grammar, times: number[]): Grammar {
  return {
    warnings: grammar.warnings,
    async matcher() {
      const inner = await grammar.matcher();
      return {
        async mask() {
          let [mask, least]: [Int32Array | null, number] = [null, Number.POSITIVE_INFINITY];
          for (let i = 0; i < TRIES; i++) {
            const started = performance.now();
            mask = await inner.mask();
            least = Math.min(least, performance.now() - started);
          }
          times.push(least);
          return mask;
        },
        accept: (id) => inner.accept(id),
        get ended() {
          return inner.ended;
        },
        close: () => inner.close(),
      };
    },
  };
}

/** @returns null if the grammar is rejected */
async function measure(one: Case, grammars: Grammars, tokenizer: Tokenizer, texts: number): Promise<Row | null> {
  const started = performance.now();
  const grammar = await one.compile(grammars).catch((error: unknown) => {
    if (error instanceof RequestError) return null;
    throw error;
  });
  if (!grammar) return null;
  const compileMs = performance.now() - started;
  const random = randomFrom(one.name.length);
  const times: number[] = [];
  for (let i = 0; i < texts; i++) await randomText(timed(grammar, times), tokenizer, random, one.words);
  const mean = times.reduce((a, b) => a + b, 0) / times.length;
  const round = (ms: number): number => Math.round(1000 * ms) / 1000;
  return {
    name: one.name,
    compileMs: Math.round(compileMs),
    masks: times.length,
    meanMs: round(mean),
    p99Ms: round(percentile(times, 0.99)),
    maxMs: round(Math.max(...times)),
  };
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

function summary(vocabulary: string, tokens: number, rows: readonly Row[], refused: number) {
  const means = rows.map((row) => row.meanMs);
  return {
    vocabulary,
    tokens,
    grammars: rows.length,
    refused,
    /** Over all grammars. */
    meanMs: { median: percentile(means, 0.5), p99: percentile(means, 0.99), most: Math.max(...means) },
    p99Ms: { most: Math.max(...rows.map((row) => row.p99Ms)) },
    compileMs: {
      median: percentile(
        rows.map((row) => row.compileMs),
        0.5,
      ),
      most: Math.max(...rows.map((row) => row.compileMs)),
    },
    meanAbove1Ms: rows.filter((row) => row.meanMs > 1).length,
    p99Above5Ms: rows.filter((row) => row.p99Ms > 5).length,
  };
}

/** Runs the command; returns the exit code. */
export function masksCommand(root: URL, args: readonly string[]): Promise<number> {
  return exitCode(USAGE, args, parse, (options) => measureAll(root, args, options));
}

function parse(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      vocabularies: { type: "string", default: "32k,200k" },
      drafts: { type: "string", default: "draft2020-12,draft7" },
      texts: { type: "string", default: "3" },
      only: { type: "string", default: "" },
      slowest: { type: "string", default: "12" },
      name: { type: "string" },
    },
  });
  return {
    flags: values,
    vocabularies: values.vocabularies.split(",").map((one) => oneOf("vocabularies", one, ["32k", "200k"])),
    texts: whole("texts", values.texts),
    slowest: whole("slowest", values.slowest, 0),
  };
}

async function measureAll(root: URL, args: readonly string[], options: ReturnType<typeof parse>): Promise<number> {
  const { flags, vocabularies, texts, slowest } = options;
  const drafts = flags.drafts.split(",").filter((draft) => draft !== "");
  const cases = [...OWN, ...drafts.flatMap((draft) => suiteCases(root, draft))];
  const chosen = cases.filter(({ name }) => name.includes(flags.only));
  const results: (ReturnType<typeof summary> & { rows: readonly Row[] })[] = [];
  for (const vocabulary of vocabularies) {
    const tokenizer = await openVocabulary(root, vocabulary);
    if (!tokenizer) continue;
    const grammars = createGrammars(tokenizer, tokenizer.vocabSize, tokenizer.eosIds);
    await grammars.json(); // loads the library
    const rows: Row[] = [];
    for (const one of chosen) {
      const row = await measure(one, grammars, tokenizer, texts);
      if (row) rows.push(row);
    }
    grammars.close();
    if (rows.length === 0) continue;
    const found = summary(vocabulary, tokenizer.vocabSize, rows, chosen.length - rows.length);
    results.push({ ...found, rows });
    console.log(JSON.stringify(found));
    console.log(
      `${"mean ms".padStart(9)}${"p99 ms".padStart(9)}${"masks".padStart(7)}${"compile".padStart(9)}  the slowest`,
    );
    for (const row of [...rows].sort((a, b) => b.meanMs - a.meanMs).slice(0, slowest)) {
      const cells = [
        row.meanMs.toFixed(3).padStart(9),
        row.p99Ms.toFixed(3).padStart(9),
        String(row.masks).padStart(7),
      ];
      console.log(`${cells.join("")}${String(row.compileMs).padStart(9)}  ${row.name}`);
    }
  }
  if (flags.name !== undefined) {
    const head = about(root, flags.name, ["masks", ...args]);
    writeResult(root, flags.name, { ...head, texts, vocabularies: results });
  }
  return 0;
}
