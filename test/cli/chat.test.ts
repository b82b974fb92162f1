import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { hotset, type Outcome, outcome, root, tales } from "../support/cli.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";

const GREEDY = ["--backend", "cpu", "--weights", "f32", "--temperature", "0", "-n", "12"];

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "hotset-chat-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function chat(lines: readonly string[], args: readonly string[] = GREEDY): Promise<Outcome> {
  return hotset(["chat", tales, ...args], lines.join("\n"));
}

interface Saved {
  readonly model: string;
  readonly sampling: Record<string, number>;
  readonly messages: readonly { readonly role: string; readonly content: string; readonly stopped?: boolean }[];
}

function saved(path: string): Saved {
  return JSON.parse(readFileSync(path, "utf8")) as Saved;
}

function answersOf({ messages }: Saved): string[] {
  return messages.filter(({ role }) => role === "assistant").map(({ content }) => content);
}

/** What generate makes of a prompt: the same model by another way. */
async function generated(prompt: string): Promise<string> {
  const { stdout } = await hotset(["generate", tales, ...GREEDY, "-p", prompt, "--json"]);
  return JSON.parse(stdout).text as string;
}

describe("hotset chat with a message on each line", () => {
  it("answers on stdout as the model's prompt format has it, tells the rest on stderr, ends with the input", async () => {
    const { code, stdout, stderr } = await chat(["", "Who are you?"]);
    expect(code).toBe(0);
    expect(stdout).toBe(`${await generated("[INST] Who are you? [/INST]")}\n`);
    expect(stderr).toBe("[ended after 12 tokens: that is --max-tokens]\n");
  });

  it.skipIf(leftToCi)(
    titled("puts the system text in front, and a message of several lines together", leftToCi),
    async () => {
      const expected = await generated("[INST] Be brief.\n\nWho\nare you? [/INST]");
      const byOption = await chat(["Who\\", "are you?"], [...GREEDY, "--system", "Be brief."]);
      expect(byOption).toMatchObject({ code: 0, stdout: `${expected}\n` });
      const byCommand = await chat(["/system Be brief.", '"""Who', 'are you?"""', "/system"]);
      expect(byCommand).toMatchObject({ code: 0, stdout: `${expected}\n` });
      expect(byCommand.stderr).toMatch(/^system: Be brief\.\n.+\nsystem: Be brief\.\n$/);
    },
  );

  it("takes exchanges back, makes answers anew, clears, saves and loads", async () => {
    const at = folder();
    const file = (name: string): string => join(at, `${name}.json`);
    const questions = ["Who are you?", "And your dog?"];
    const first = await chat([
      ...questions,
      `/save ${file("both")}`,
      "/regenerate",
      `/save ${file("again")}`,
      "/undo",
      `/save ${file("one")}`,
      "/clear",
      "/system Be brief.",
      "/save", // where it was saved last
      "/system -",
      `/save ${file("none")}`,
      "/exit",
      "never read",
    ]);
    expect(first.code).toBe(0);
    const both = saved(file("both"));
    expect(both).toMatchObject({ model: "tales", sampling: { temperature: 0 } });
    expect(both.messages.filter(({ role }) => role === "user").map(({ content }) => content)).toEqual(questions);
    const [one, two] = answersOf(both);
    expect(first.stdout).toBe(`${one}\n${two}\n${two}\n`);
    expect(first.stderr).toMatch(/the same again/);
    expect(saved(file("again"))).toEqual(both);
    expect(saved(file("one")).messages).toEqual([{ role: "system", content: "Be brief." }]);
    expect(saved(file("none")).messages).toEqual([]);
    if (process.platform !== "win32") expect(statSync(file("both")).mode & 0o777).toBe(0o600);

    const second = await chat([`/load ${file("both")}`, "/undo", questions[1]!, `/save ${file("other")}`, "/stats"]);
    expect(second).toMatchObject({ code: 0, stdout: `${two}\n` });
    expect(saved(file("other"))).toEqual(both);
    expect(second.stderr).toMatch(/conversation: 2 exchanges, \d+ of 2048 tokens\nlast answer: prompt \d+ tokens/);
    expect(second.stderr).toMatch(/\nmemory: .+\nexperts: all in memory\n/);
  });

  it.skipIf(leftToCi)(
    titled("samples a regenerated answer with another seed, and all of it again with the same one", leftToCi),
    async () => {
      const args = ["--backend", "cpu", "--temperature", "1", "--seed", "7", "-n", "12"];
      const run = async (): Promise<string> => (await chat(["Who are you?", "/regenerate"], args)).stdout;
      const at = join(folder(), "chat.json");
      const { stdout } = await chat(["Who are you?", "/regenerate", `/save ${at}`], args);
      expect(await run()).toBe(stdout);
      const [second] = answersOf(saved(at));
      expect(stdout.endsWith(`${second}\n`)).toBe(true);
      expect(stdout.slice(0, -second!.length - 1)).not.toBe(`${second}\n`);
    },
  );

  it.skipIf(leftToCi)(
    titled("says what cannot be done, goes on as before, and tells by its exit code", leftToCi),
    async () => {
      const at = folder();
      writeFileSync(join(at, "bad.json"), "{}");
      writeFileSync(join(at, "thesis.txt"), "years of work");
      const lines = [
        "/frobnicate",
        "/undo",
        "/regenerate",
        "/undo this",
        `/load ${at}/bad.json`,
        `/save ${at}/thesis.txt`,
      ];
      const { code, stdout, stderr } = await chat([...lines, "Who are you?"]);
      expect(code).toBe(1);
      expect(stdout).toBe(`${await generated("[INST] Who are you? [/INST]")}\n`);
      const told = stderr.split("\n").filter((line) => line.startsWith("hotset: "));
      expect(told).toEqual([
        expect.stringMatching(/no command \/frobnicate; \/help/),
        expect.stringMatching(/nothing to take back/),
        expect.stringMatching(/no answer yet/),
        expect.stringMatching(/\/undo stands alone/),
        expect.stringMatching(/bad\.json: expected a conversation/),
        expect.stringMatching(/thesis\.txt .*choose another name/),
      ]);
      expect(readFileSync(join(at, "thesis.txt"), "utf8")).toBe("years of work");
    },
  );

  it.skipIf(leftToCi)(
    titled("keeps the conversation as it was where a message does not fit the context", leftToCi),
    async () => {
      const at = folder();
      const long = "Tell me more about that. ".repeat(20);
      const run = await chat(
        ["Who are you?", `/save ${at}/a`, long, `/save ${at}/b`, "/clear", "Who are you?"],
        [...GREEDY, "--context", "48"],
      );
      expect(run.code).toBe(1);
      expect(run.stderr).toMatch(/hotset: .*does not fit in the context of 48 tokens.*\/undo.*\/clear/);
      expect(saved(`${at}/b`)).toEqual(saved(`${at}/a`));
      const [answer] = answersOf(saved(`${at}/a`));
      expect(run.stdout).toBe(`${answer}\n${answer}\n`);
    },
  );

  it.skipIf(leftToCi)(
    titled("holds answers to a format, and refuses one that it cannot hold before it reads a message", leftToCi),
    async () => {
      const at = folder();
      writeFileSync(
        `${at}/age.json`,
        '{"type":"object","properties":{"age":{"enum":[1,2,3]}},"required":["age"],"additionalProperties":false}',
      );
      const { code, stdout } = await chat(["How old?"], ["--backend", "cpu", "--json-schema", `${at}/age.json`]);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toEqual({ age: expect.toBeOneOf([1, 2, 3]) });
      writeFileSync(`${at}/odd.json`, '{"type":"strange"}');
      const odd = await chat(["How old?"], ["--backend", "cpu", "--json-schema", `${at}/odd.json`]);
      expect(odd).toMatchObject({ code: 1, stdout: "" });
      expect(odd.stderr).toMatch(/^hotset: --json-schema .*odd\.json: [^\n]+\n$/);
    },
  );

  it.skipIf(leftToCi)(titled("ends at bytes that are no text", leftToCi), async () => {
    const { code, stdout, stderr } = await hotset(["chat", tales, ...GREEDY], Uint8Array.of(0x61, 0xff, 0x0a));
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^hotset: stdin: expected UTF-8[^\n]+\n$/);
  });
});

const hasScript = spawnSync("script", ["-qec", "true", "/dev/null"]).status === 0;

describe.skipIf(!hasScript)("hotset chat on a terminal (needs script of util-linux)", () => {
  /**
   * Types to a terminal: each text once what stands in front of it was seen, after what was seen
   * before; ␛ is Esc.
   */
  async function typed(steps: readonly (readonly [RegExp, string])[], args: string, cache: string): Promise<Outcome> {
    const command = `exec '${process.execPath}' dist/src/cli/main.js chat ${tales} --backend cpu ${args}`;
    const child = spawn("script", ["-qec", command, "/dev/null"], {
      cwd: root,
      env: { ...process.env, HOTSET_CACHE: cache, TERM: "xterm" },
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    let seen = "";
    let next = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      seen += chunk.toString().replaceAll("\x1b", "␛");
      const step = steps[next];
      const found = step?.[0].exec(seen);
      if (!found || !step) return;
      next++;
      seen = "";
      child.stdin.write(step[1]);
    });
    return outcome(child);
  }
  // The editor asks when it has put the cursor behind its prompt.
  const ASKED = /> ␛\[3G$/;

  it("Ctrl-C stops the answer, what came stays, and the program goes on", async () => {
    const cache = folder();
    const file = join(cache, "chat.json");
    const { code, stdout } = await typed(
      [
        [ASKED, "Tell me a story\r"],
        [/␛\[\?2004l[^␛]*\w{3}/, "\x03"], // words of the answer
        [ASKED, "\x1b[200~two\nlines\x1b[201~\r"],
        [/␛\[\?2004l[^␛]*\w{3}/, "\x03"],
        [ASKED, `/save ${file}\r`],
        [ASKED, "thrown away"],
        [/away$/, "\x03"],
        [ASKED, "\x03"],
        [/once more[\s\S]*> ␛\[3G$/, "\x03"],
      ],
      "-n 900 --temperature 1 --seed 1",
      cache,
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(/\[stopped; what came stays in the conversation\]/);
    const [question, answer, pasted] = saved(file).messages;
    expect(question).toEqual({ role: "user", content: "Tell me a story" });
    expect(answer).toMatchObject({ role: "assistant", stopped: true });
    expect(answer!.content).not.toBe("");
    expect(pasted).toEqual({ role: "user", content: "two\nlines" });
    const history = join(cache, "chat_history");
    expect(
      readFileSync(history, "utf8")
        .split("\n")
        .map((line) => line && JSON.parse(line)),
    ).toEqual(["Tell me a story", "two\nlines", `/save ${file}`, ""]);
    expect(statSync(history).mode & 0o777).toBe(0o600);
  });

  it("Ctrl-D ends it, and messages that came at once are answered one after the other", async () => {
    const { code, stdout } = await typed(
      [
        [ASKED, "/system one\r/system\r"],
        [/system: one[\s\S]*system: one[\s\S]*> ␛\[3G$/, "\x04"],
      ],
      "--no-history",
      folder(),
    );
    expect(code).toBe(0);
    expect(stdout.match(/system: one/g)).toHaveLength(2);
  });
});
