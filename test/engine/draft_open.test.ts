// open() with a draft model: the same tokens, a budget that holds both, what cannot be a draft, and
// an end that leaves nothing open.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { startNodeWorker } from "../../src/backend/cpu/node_threads.ts";
import { openChat } from "../../src/chat/conventions.ts";
import type { GenerateOptions, OpenOptions } from "../../src/engine/api.ts";
import { MemoryError, RequestError, WeightsError } from "../../src/errors.ts";
import { type Model, open } from "../../src/index.ts";
import type { Tokenizer } from "../../src/tokenizer/types.ts";
import { nodeFolderOrFile } from "../../src/weights/node_files.ts";
import { checkVocabulary } from "../../src/wiring/draft_vocabulary.ts";
import type { Platform } from "../../src/wiring/open.ts";
import { openWithDraft } from "../../src/wiring/open_with_draft.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { collect } from "../support/pieces.ts";

// Proposals follow from the text alone: a step takes so long that they cost nothing.
vi.mock("../../src/engine/step_costs.ts", () => ({
  StepCosts: class {
    readonly one = 1e9;
    note(): void {}
    relative(): number {
      return 1;
    }
  },
}));

const tales = inRepo("models/tales");
const cpu = { backend: "cpu", weights: "f32", context: 256, threads: 1 } as const;

async function opened(options: OpenOptions): Promise<Model> {
  const model = await open(tales, { ...cpu, ...options });
  onTestFinished(() => model.close());
  return model;
}

async function answer(model: Model, options: GenerateOptions) {
  const session = model.session();
  const { ids, text, finish } = await collect(
    session.generate("The wolf went down to the river.", { maxTokens: 60, ignoreEos: true, seed: 5, ...options }),
  );
  session.close();
  return { same: { ids, text, reason: finish.reason }, counts: finish.speculation };
}

/** models/tales with another file in place of one of its own. */
function altered(name: string, how: (text: string) => string): string {
  const folder = mkdtempSync(join(tmpdir(), "hotset-draft-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  cpSync(tales, folder, { recursive: true });
  writeFileSync(join(folder, name), how(readFileSync(join(tales, name), "utf8")));
  return folder;
}

describe("a model with a draft model", () => {
  it.skipIf(leftToCi)(
    titled("writes the same tokens: its own weights in f32, drafted by the same in another precision", leftToCi),
    async () => {
      const plain = await opened({ speculation: "off" });
      const ram = 2 ** 30;
      const model = await opened({ draft: tales, ram });
      const pattern = "[a-z ,.]{40}";
      for (const options of [
        { temperature: 0 },
        { temperature: 0.8 },
        { temperature: 0.9, topP: 0.9, minP: 0.02, repeatPenalty: 1.1 },
        { temperature: 0.7, topK: 20, frequencyPenalty: 0.3, presencePenalty: 0.2 },
        { temperature: 0, stop: ["the"] },
        { temperature: 0.7, pattern },
      ]) {
        const found = [];
        for (const one of [plain, model]) {
          const constraint = "pattern" in options ? await (await one.grammars.regex(pattern)).matcher() : undefined;
          found.push(await answer(one, { ...options, ...(constraint && { constraint, ignoreEos: false }) }));
          constraint?.close();
        }
        expect(found[1]!.same).toEqual(found[0]!.same);
        if (!("stop" in options)) expect(found[1]!.counts!.accepted).toBeGreaterThan(0);
      }
      const { speculation, memory } = model.stats();
      expect(speculation!.drafted).toBeGreaterThanOrEqual(speculation!.accepted);
      const { name, weights, memory: taken } = speculation!.draft!;
      expect([name, weights]).toEqual([tales, "q4"]);
      expect(taken.weights).toBeGreaterThan(0);
      const both = [memory, taken].reduce((sum, { weights, kv, scratch }) => sum + weights + kv + scratch, 0);
      expect(both).toBeLessThanOrEqual(ram);
      const alone = model.session();
      await Promise.all([collect(alone.generate([1, 5], { maxTokens: 4 })), answer(model, { temperature: 0 })]);
    },
  );

  it.skipIf(leftToCi)(titled("gives it the precision of its keys and values", leftToCi), async () => {
    const bytes = [];
    for (const kv of ["f32", "q8"] as const)
      bytes.push((await opened({ draft: tales, kv })).stats().speculation!.draft!.memory.kv);
    expect(bytes[1]).toBeLessThan(bytes[0]! / 3);
  });

  it("closes it with itself: no thread of either is left, and no file open", async () => {
    const counts = { threads: 0, files: 0 };
    const platform: Platform = {
      async files(where) {
        const opened = await nodeFolderOrFile(where);
        const close = opened.files.close.bind(opened.files);
        counts.files++;
        opened.files.close = async () => {
          counts.files--;
          await close();
        };
        return opened;
      },
      startWorker() {
        const worker = startNodeWorker();
        counts.threads++;
        const stop = () => {
          counts.threads--;
          worker.stop();
        };
        return { ...worker, stop };
      },
      ...{ gpu: async () => null, mayHaveGpu: false, ram: 2 ** 30, cpuName: "", cores: 2, chat: openChat },
      ...{ tuning: { read: async () => null, write: async () => {} }, spill: () => null, identity: (where) => where },
    };
    const model = await openWithDraft(tales, { ...cpu, threads: 2, draft: tales }, platform);
    await answer(model, { temperature: 0 });
    expect(counts.threads).toBe(2);
    await model.close();
    expect(counts).toEqual({ threads: 0, files: 0 });
    await expect(
      openWithDraft(tales, { ...cpu, threads: 2, draft: tales, kv: "f64" as never }, platform),
    ).rejects.toThrow();
    await expect(openWithDraft(tales, { ...cpu, threads: 2, draft: tales, ram: 2 ** 26 }, platform)).rejects.toThrow();
    expect(counts).toEqual({ threads: 0, files: 0 });
  });

  it.each<[string, () => OpenOptions, new (...args: never[]) => Error, RegExp]>([
    ["without a name", () => ({ draft: "" }), RequestError, /^draft: expected a text, found an empty one/],
    ["that is no text", () => ({ draft: 5 as never }), RequestError, /^draft: expected a text, found 5/],
    ["with speculation off", () => ({ draft: tales, speculation: "off" }), RequestError, /draft nothing with specul/],
    ["while routes are traced", () => ({ draft: tales, onRoutes() {} }), RequestError, /while routes are traced/],
    ["that is not there", () => ({ draft: "/nowhere/at/all" }), WeightsError, /^draft: \/nowhere\/at\/all: expected/],
    [
      "whose weights were cut off",
      () => ({ draft: altered("model.safetensors", (text) => text.slice(0, 1000)) }),
      WeightsError,
      /^draft: .*model\.safetensors/,
    ],
    ["that is no weights", () => ({ draft: inRepo("package.json") }), WeightsError, /^draft: .*package\.json/],
    ["without words", () => ({ draft: "synthetic:mixtral-8x7b?layers=1" }), RequestError, /^draft: .* no words; exp/],
    ["too large for the budget", () => ({ draft: tales, ram: 20 * 2 ** 20 }), MemoryError, /^draft: .* is too small/],
    ["that fills the budget", () => ({ draft: tales, ram: 30 * 2 ** 20 }), MemoryError, /draft: .* smaller draft/],
    [
      "beside which there is no room",
      () => ({ draft: tales, ram: 60 * 2 ** 20 }),
      MemoryError,
      /too small: .*; the draft model takes \d+ MiB more/,
    ],
    [
      "of another size of vocabulary",
      () => ({ draft: inRepo("test/fixtures/mixtral/bf16-odd-window-shards") }),
      RequestError,
      /another vocabulary than .*tales: .* tokens, expected 4096/,
    ],
    [
      "of other words",
      () => ({ draft: altered("tokenizer.json", (text) => text.replace('"7": 4095', '"七": 4095')) }),
      RequestError,
      /another vocabulary .*: token 4095 is "七", expected "7"/,
    ],
  ])("is refused a draft %s", async (_, options, kind, message) => {
    const opening = open(tales, { ...cpu, ...options() });
    await expect(opening).rejects.toBeInstanceOf(kind);
    await expect(opening).rejects.toThrow(message);
  });

  it("is refused one, and says why it drafts nothing, where it has layers with states", async () => {
    const hybrid = inRepo("test/fixtures/hybrids/lfm2_moe");
    const model = await open(hybrid, cpu);
    const { speculation, noDrafts } = model.stats();
    await model.close();
    expect([speculation, noDrafts]).toEqual([null, "layers with states cannot go back to where a draft was wrong"]);
    await expect(open(hybrid, { ...cpu, draft: tales })).rejects.toThrow(
      /has layers with states, which cannot go back/,
    );
  });
});

describe("a draft's vocabulary", () => {
  /** Pieces that begin with "<" are control tokens, but for those of a byte. */
  const of = (...pieces: (string | null)[]) => ({
    ...{ label: "one", vocab: pieces.length },
    tokenizer: {
      vocabSize: pieces.length,
      idToPiece: (id: number) => pieces[id]!,
      tokenBytes(id: number) {
        const byte = /^<0x(..)>$/.exec(pieces[id]!)?.[1];
        if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
        return new TextEncoder().encode(pieces[id]!.startsWith("<") ? "" : pieces[id]!);
      },
    } as Tokenizer,
  });

  it.each([
    ["the same pieces", of("a", "b"), of("a", "b"), null],
    ["more unused ids", of("a", "b", null), of("a", "b"), null],
    ["other names of control tokens", of("<unk>", "a", "<reserved 1>"), of("<s>", "a", "<|im_start|>"), null],
    ["a control token more", of("a", "b", "<|im_start|>"), of("a", "b"), null],
    ["a control token that is unused there", of("a", null), of("a", "<|im_start|>"), null],
    ["bytes that are spelled otherwise", of("<0x41>"), of("A"), null],
    ["a word for a control token", of("a", "b"), of("a", "<s>"), 'token 1 is "b", expected "<s>"'],
    ["another piece", of("a", "c"), of("a", "b"), 'token 1 is "c", expected "b"'],
    ["one more", of("a", "b", "c"), of("a", "b"), 'token 2 is "c", expected unused'],
    ["one less", of("a"), of("a", "b"), 'token 1 is unused, expected "b"'],
    ["no tokenizer and as many tokens", { ...of("a", "b"), tokenizer: null }, of("c", "d"), null],
    ["no tokenizer and others", { ...of("a"), tokenizer: null }, of("c", "d"), "1 tokens, expected 2"],
  ])("%s", (_, draft, target, message) => {
    const check = (): void => checkVocabulary(draft, target);
    if (message === null) expect(check).not.toThrow();
    else expect(check).toThrow(message);
  });
});
