// The tokenizer of whole GGUF files, and of other files in place of a model's own.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it, onTestFinished } from "vitest";
import { open as openInPage } from "../../../src/browser.ts";
import { openChat } from "../../../src/chat/conventions.ts";
import { loadTokenizer, open } from "../../../src/index.ts";
import { tokenizerFiles } from "../../../src/tokenizer/files.ts";
import { openTokenizer } from "../../../src/tokenizer/tokenizer.ts";
import { openFolder } from "../../../src/weights/folder.ts";
import { nodeFolderOrFile } from "../../../src/weights/node_files.ts";
import { hotset } from "../../support/cli.ts";
import { inRepo, inShared, titled } from "../../support/fixtures.ts";
import { writeTinyFolder } from "../../support/tiny_folder.ts";
import { TALES_JSON, TALES_MODEL, talesFromJson } from "../../tokenizer/support.ts";

const fixtures = inShared("fixtures/gguf");
const TALES = inRepo("models/tales");
const TALES_GGUF = join(fixtures.path, "tales-Q4_K_M.gguf");

describe.skipIf(fixtures.skip !== null)(titled("fixtures/gguf", fixtures.skip), () => {
  const names = fixtures.skip ? [] : readdirSync(fixtures.path).filter((name) => name.endsWith(".expected.json"));
  // hotset refuses big-endian files, or reads them: see container.test.ts
  it.each(names.filter((name) => !name.includes("-be.")))("%s: the ids of its prompts", async (name) => {
    const expected = JSON.parse(readFileSync(join(fixtures.path, name), "utf8")) as {
      readonly prompts: readonly { readonly text: string; readonly ids: readonly number[] }[];
    };
    const stem = name.slice(0, -".expected.json".length);
    const file = readdirSync(fixtures.path).find(
      (one) => one === `${stem}.gguf` || one.startsWith(`${stem}-00001-of-`),
    )!;
    const tokenizer = await loadTokenizer(join(fixtures.path, file));
    expect(expected.prompts.length).toBeGreaterThan(0);
    for (const { text, ids } of expected.prompts) expect(tokenizer.encode(text)).toEqual(ids);
  });

  it("tales: the ids, the prompts and the sampling of its folder", async () => {
    const conventions = async (path: string) => {
      const { files, file } = await nodeFolderOrFile(path);
      const folder = await openFolder(files, file);
      const tokenizer = await openTokenizer(folder.files, 4096);
      const chat = await openChat(folder.files, tokenizer);
      const prompt = chat.prompt([
        { role: "system", content: "Be brief." },
        { role: "user", content: "Once upon a time [INST]" },
        { role: "assistant", content: "there was" },
        { role: "user", content: "a fox?" },
      ]);
      await folder.close();
      const { bosId, eosIds, addBos } = tokenizer;
      const { source, ...rest } = chat;
      const generation = folder.generationConfig as Record<string, unknown>;
      const sampling = ["do_sample", "temperature", "top_p", "top_k"].map((key) => generation[key]);
      return { prompt, bosId, eosIds, addBos, source, stops: rest.stopIds, sampling };
    };
    expect(await conventions(TALES_GGUF)).toEqual(await conventions(TALES));
  });

  it("hotset tokenize prints what it prints for the folder", async () => {
    const printed = await hotset(["tokenize", TALES, "Once upon a time\n 1234 naïve"]);
    expect(printed.code).toBe(0);
    expect(await hotset(["tokenize", TALES_GGUF, "Once upon a time\n 1234 naïve"])).toEqual(printed);
    // a whole other vocabulary, taken from the GGUF file
    expect(await hotset(["tokenize", "src", "--tokenizer", TALES_GGUF, "Once upon a time\n 1234 naïve"])).toEqual(
      printed,
    );
  });
});

describe("a tokenizer from elsewhere", () => {
  const place = mkdtempSync(join(tmpdir(), "hotset-tokenizer-"));
  afterAll(() => rmSync(place, { recursive: true }));
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(place, name), content);
    return join(place, name);
  };
  const template = "{{ bos_token }}{% for m in messages %}{{ m.content }}!{% endfor %}";

  it("may be a file of any name", async () => {
    file("tokenizer.json", "{}"); // is not read in place of the file that was named
    for (const path of [file("own.json", TALES_JSON), file("own.model", TALES_MODEL), join(TALES, "tokenizer.model")])
      expect((await loadTokenizer(path)).encode("Once upon a time"), path).toEqual([1, 2337, 662, 261, 536]);
    await expect(loadTokenizer(file("notes.txt", "none"))).rejects.toThrow(
      /notes\.txt: expected a folder with tokenizer\.json/,
    );
    await expect(loadTokenizer(file("settings.json", "{}"))).rejects.toThrow(
      / \(settings\.json\)\/tokenizer\.json: model: /,
    );
    await expect(loadTokenizer(join(place, "absent.json"))).rejects.toThrow(
      /absent\.json: .*tokenizer\.model.*found nothing/,
    );
  });

  it("its template is used, and the model's own where it has none", async () => {
    const own = writeTinyFolder({ "chat_template.jinja": `own:${template}` }, 4096);
    onTestFinished(() => own.remove());
    const prompts = async (tokenizer: string): Promise<readonly number[]> => {
      const [other, model] = [await nodeFolderOrFile(tokenizer), await nodeFolderOrFile(own.path)];
      const files = await tokenizerFiles(other);
      const chat = await openChat(files, await openTokenizer(files), model.files);
      for (const opened of [files, model.files]) await opened.close();
      return chat.prompt([{ role: "user", content: "Once" }]);
    };
    const ids = (text: string): number[] => talesFromJson.encode(text, { addBos: false, specialTokens: true });
    // models/tales has no template
    expect(await prompts(TALES)).toEqual(ids("own:Once!"));
    file("chat_template.jinja", `other:${template}`);
    file("tokenizer_config.json", JSON.stringify({ bos_token: "<s>" }));
    file("tokenizer.json", TALES_JSON);
    expect(await prompts(place)).toEqual(ids("other:<s>Once!"));
  });

  it("open() takes it for a folder without one", async () => {
    const bare = writeTinyFolder({}, 4096);
    onTestFinished(() => bare.remove());
    const options = { backend: "cpu", threads: 1 } as const;
    await expect(open(bare.path, { ...options, needTokenizer: true })).rejects.toThrow(/expected tokenizer\.json/);
    const model = await open(bare.path, { ...options, tokenizer: join(TALES, "tokenizer.json") });
    expect(model.tokenizer?.encode("Once upon a time")).toEqual([1, 2337, 662, 261, 536]);
    await model.close();
    const printed = await hotset([
      "generate",
      bare.path,
      "--backend",
      "cpu",
      "--tokenizer",
      TALES,
      "-p",
      "Once",
      "-n",
      "1",
    ]);
    expect([printed.code, printed.stderr.includes("prompt 2 tokens")]).toEqual([0, true]);
  });

  it("a page takes it from a URL, or from files that the user picked", async () => {
    const bare = writeTinyFolder({}, 4096);
    onTestFinished(() => bare.remove());
    const picked = (path: string, name: string) => new File([readFileSync(path)], name);
    const weights = ["config.json", "model.safetensors"].map((name) => picked(join(bare.path, name), name));
    const server = createServer((request, response) => {
      if (request.url === "/own/tokenizer.model?signed=1") response.writeHead(200).end(TALES_MODEL);
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/own/tokenizer.model?signed=1`;
    for (const tokenizer of [url, [picked(join(TALES, "tokenizer.json"), "mine.json")]]) {
      const model = await openInPage(weights, { backend: "cpu", threads: 1, tokenizer });
      expect(model.tokenizer?.encode("Once upon a time")).toEqual([1, 2337, 662, 261, 536]);
      await model.close();
    }
  });

  it("open() refuses one of another model, by the number of ids", async () => {
    const small = writeTinyFolder({}, 300);
    onTestFinished(() => small.remove());
    await expect(open(small.path, { backend: "cpu", tokenizer: TALES })).rejects.toThrow(
      /may become token \d+ by the tokenizer, and config\.json's vocab_size is 300/,
    );
    await expect(open("synthetic:mixtral-8x7b?layers=1", { tokenizer: TALES })).rejects.toThrow(/has no tokenizer/);
  });
});
