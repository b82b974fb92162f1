import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { loadConversation, messagesOf, saveConversation } from "../../src/cli/chat_conversation.ts";
import { openHistory } from "../../src/cli/chat_history.ts";
import { linesOf, MAX_MESSAGE, MessageLines } from "../../src/cli/chat_lines.ts";
import { splitPastes } from "../../src/cli/chat_paste.ts";
import { RequestError } from "../../src/errors.ts";

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "hotset-chat-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

describe("messages out of lines", () => {
  it.each<[string[], (string | null)[]]>([
    [
      ["one", "two"],
      ["one", "two"],
    ],
    [
      ["a \\", "b\\", "c", "d"],
      ["a \nb\nc", "d"],
    ],
    [
      ['"""', "a", "", "b", '"""', "c"],
      ["a\n\nb", "c"],
    ],
    [['"""a', 'b"""'], ["a\nb"]],
    [['"""one line"""'], ["one line"]],
    [['"""', "a \\", "b", '"""  '], ["a \\\nb"]],
    [['/system """be', 'kind"""'], ["/system be\nkind"]],
    [['say """hi"""'], ['say """hi"""']],
    [['"""', "never closed"], ["never closed"]],
    [["goes on \\"], ["goes on "]],
  ])("%j", (lines, messages) => {
    const made = new MessageLines();
    const found = [...lines.map((line) => made.push(line)), made.end()];
    expect(found.filter((text) => text !== null)).toEqual(messages);
    expect(made.goesOn).toBe(false);
  });

  it("ends one that never ends, and goes on with the next", () => {
    const made = new MessageLines();
    made.push('"""');
    const line = "x".repeat(MAX_MESSAGE / 2);
    made.push(line);
    expect(() => made.push(`${line}x`)).toThrow(RequestError);
    expect(made.push("next")).toBe("next");
  });
});

describe("lines of stdin", () => {
  const read = async (chunks: readonly Uint8Array[]): Promise<string[]> => {
    const lines: string[] = [];
    const source = (async function* () {
      yield* chunks;
    })();
    for await (const line of linesOf(source)) lines.push(line);
    return lines;
  };

  it("are the same wherever the bytes are cut", async () => {
    const bytes = new TextEncoder().encode("é\r\n\nzwölf €\nlast");
    for (let at = 0; at <= bytes.length; at++)
      expect(await read([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(["é", "", "zwölf €", "last"]);
  });

  it.each<[string, Uint8Array, RegExp]>([
    ["bytes that are no text", Uint8Array.of(0x61, 0xff, 0x0a), /expected UTF-8/],
    ["a character cut short at the end", Uint8Array.of(0x61, 0xe2, 0x82), /expected UTF-8/],
    ["a line without an end", new Uint8Array(MAX_MESSAGE + 1).fill(0x61), /at most/],
  ])("%s", async (_, bytes, message) => {
    await expect(read([bytes])).rejects.toThrow(message);
  });
});

describe("pasted text", () => {
  const events = (chunks: readonly string[], limit = 1000): string[] => {
    const found: string[] = [];
    let keys = "";
    const splitter = splitPastes(
      (typed) => {
        keys += typed;
      },
      (text) => {
        if (keys !== "") found.push(`keys ${keys}`);
        keys = "";
        found.push(`paste ${text}`);
      },
      limit,
    );
    for (const chunk of chunks) splitter.push(chunk);
    return keys === "" ? found : [...found, `keys ${keys}`];
  };
  const typed = "ab\x1b[A\x1b[200~one\n\x1b[2two\x03\x1b[201~c\x1b[200~\x1b[201~d";

  it("is told from keys wherever the stream is cut", () => {
    const expected = ["keys ab\x1b[A", "paste one\n\x1b[2two\x03", "keys c", "paste ", "keys d"];
    for (let at = 0; at <= typed.length; at++) expect(events([typed.slice(0, at), typed.slice(at)])).toEqual(expected);
    expect(events([...typed])).toEqual(expected);
  });

  it("has a limit, and its end is found behind it", () => {
    expect(events(["\x1b[200~", "123456789", "\x1b[201~x"], 5)).toEqual(["paste 12345", "keys x"]);
  });

  it("does not keep the key Esc for itself", async () => {
    const key = await new Promise((resolve) => splitPastes(resolve, () => {}, 10).push("\x1b"));
    expect(key).toBe("\x1b");
  });
});

describe("history", () => {
  it("comes back in the next run, newest first, in a file of its user's own", () => {
    const file = join(folder(), "sub", "history");
    const first = openHistory(true, file);
    for (const text of ["one", "two\nlines", "two\nlines", "x".repeat(100_000)]) first.add(text);
    expect(openHistory(true, file).entries).toEqual(["two\nlines", "one"]);
    if (process.platform !== "win32") expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it("is neither read nor written where it is not wanted", () => {
    const file = join(folder(), "history");
    writeFileSync(file, '"old"\n');
    const history = openHistory(false, file);
    history.add("new");
    expect(history.entries).toEqual(["new"]);
    expect(readFileSync(file, "utf8")).toBe('"old"\n');
  });

  it("passes over lines that are not its own, and stays bounded", () => {
    const file = join(folder(), "history");
    const lines = Array.from({ length: 3000 }, (_, i) => JSON.stringify(`m${i}`));
    writeFileSync(file, `{"a":1}\n[[[\n${lines.join("\n")}\n"cut of`, { mode: 0o644 });
    const { entries } = openHistory(true, file);
    expect(entries[0]).toBe("m2999");
    expect(entries.length).toBeLessThanOrEqual(1000);
    expect(readFileSync(file, "utf8").split("\n").length).toBeLessThanOrEqual(1001);
    if (process.platform !== "win32") expect(statSync(file).mode & 0o777).toBe(0o600);
  });
});

describe("conversations in files", () => {
  const conversation = {
    system: "be kind",
    exchanges: [
      { question: "a\n\u2028b", answer: "", stopped: false },
      { question: "c", answer: "half", stopped: true },
    ],
    sampling: { temperature: 0.5, seed: 3 },
  };

  it("come back as they were", async () => {
    const file = join(folder(), "chat.json");
    await saveConversation(file, "tales", conversation);
    expect(await loadConversation(file)).toEqual({ model: "tales", conversation });
    await saveConversation(file, "tales", { ...conversation, system: null });
    expect((await loadConversation(file)).conversation.system).toBeNull();
    // What is there is what the APIs take.
    expect(messagesOf({ ...conversation, system: null })).toEqual(
      JSON.parse(readFileSync(file, "utf8")).messages.map(({ role, content }: never) => ({ role, content })),
    );
  });

  it("are not written over what is no conversation", async () => {
    const file = join(folder(), "thesis.txt");
    writeFileSync(file, "years of work");
    await expect(saveConversation(file, "tales", conversation)).rejects.toThrow(/choose another name/);
    expect(readFileSync(file, "utf8")).toBe("years of work");
  });

  const user = { role: "user", content: "a" };
  const assistant = { role: "assistant", content: "b" };
  const valid = { format: "hotset-chat-1", model: "tales", sampling: {}, messages: [user, assistant] };
  it.each<[string, unknown, RegExp]>([
    ["no object", 7, /expected a conversation/],
    ["null", null, /expected a conversation/],
    ["another format", { ...valid, format: "x" }, /expected a conversation/],
    ["no model", { ...valid, model: 1 }, /expected a conversation/],
    ["messages of another kind", { ...valid, messages: "a" }, /expected a conversation/],
    ["a message that is null", { ...valid, messages: [null] }, /messages\[0\]: .*role user/],
    ["two questions", { ...valid, messages: [user, user] }, /messages\[1\]: .*role assistant/],
    ["a question without an answer", { ...valid, messages: [user] }, /messages\[1\]: .*role assistant/],
    ["a late system text", { ...valid, messages: [user, assistant, { role: "system", content: "" }] }, /messages\[2\]/],
    ["content in parts", { ...valid, messages: [{ role: "user", content: [] }] }, /messages\[0\]\.content: .*object/],
    ["a mark that is none", { ...valid, messages: [user, { ...assistant, stopped: 1 }] }, /messages\[1\]\.stopped/],
    ["sampling of another kind", { ...valid, sampling: [] }, /sampling: expected an object/],
    ["sampling out of range", { ...valid, sampling: { topP: 2 } }, /sampling\.topP: found 2/],
    ["sampling in words", { ...valid, sampling: { seed: "1" } }, /sampling\.seed: expected a number, found string/],
  ])("refused: %s", async (_, value, message) => {
    const file = join(folder(), "chat.json");
    writeFileSync(file, JSON.stringify(value));
    const failure = loadConversation(file);
    await expect(failure).rejects.toThrow(message);
    await expect(failure).rejects.toThrow(RequestError);
  });

  it.each<[string, (file: string) => void, RegExp]>([
    ["not there", () => {}, /cannot be read: ENOENT/],
    ["not JSON", (file) => writeFileSync(file, "{"), /expected JSON/],
    ["not UTF-8", (file) => writeFileSync(file, Uint8Array.of(0xff)), /expected UTF-8/],
    ["nested without end", (file) => writeFileSync(file, "[".repeat(1e6)), /expected JSON/],
    ["too large", (file) => writeFileSync(file, Buffer.alloc(64 * 2 ** 20 + 1)), /at most/],
  ])("refused: %s", async (_, write, message) => {
    const file = join(folder(), "chat.json");
    write(file);
    await expect(loadConversation(file)).rejects.toThrow(message);
  });

  it("refused: a folder", async () => {
    await expect(loadConversation(folder())).rejects.toThrow(/cannot be read: EISDIR/);
  });
});
