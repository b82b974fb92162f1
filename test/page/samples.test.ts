// The page's code samples, run as they are shown, against a server.

import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Request } from "../../src/page/chat/requests.ts";
import type { ChatRequest } from "../../src/page/engine.ts";
import { samplesOf } from "../../src/page/samples/samples.ts";
import { type RunningServer, startServer } from "../../src/server/node_serve.ts";
import { type Fake, fakeModel } from "../server/fake_model.ts";
import { inRepo, titled } from "../support/fixtures.ts";

const run = promisify(execFile);

/** Why a sample of this runtime is skipped; null: it can run. */
function missing(command: string): string | null {
  try {
    execFileSync(command, ["--version"], { stdio: "ignore" });
    return null;
  } catch {
    return `skipped: no ${command} on this machine`;
  }
}

/** Stands in for the Python packages, which are not installed for tests: sends what it is given. */
const CLIENT = `
import json, urllib.request
from types import SimpleNamespace
def sends(path, headers):
    def create(extra_body={}, **fields):
        body = json.dumps({**fields, **extra_body}).encode()
        request = urllib.request.Request(path, body, {"content-type": "application/json", **headers})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer, object_hook=lambda found: Found(**found))
    return SimpleNamespace(create=create)
class Found(SimpleNamespace):
    def __getattr__(self, name):
        return None
class OpenAI:
    def __init__(self, base_url, api_key):
        headers = {"authorization": "Bearer " + api_key}
        self.chat = SimpleNamespace(completions=sends(base_url + "/chat/completions", headers))
        self.completions = sends(base_url + "/completions", headers)
class Anthropic:
    def __init__(self, base_url, api_key):
        self.messages = sends(base_url + "/v1/messages", {"x-api-key": api_key, "anthropic-version": "2023-06-01"})
`;

import { some } from "../support/some.ts";

// biome-ignore lint/suspicious/noTemplateCurlyInString: what a shell and PHP would replace
const HOSTILE = "it's \"quoted\" $HOME `id` \\n \\ ${x} %s <?php JSON; \u2028 \u{1F600} '''";
const user = { role: "user", content: "hi" } as const;
const chat = (more: Partial<ChatRequest>): Request => ({
  kind: "chat",
  request: { model: "tales", messages: [user], sampling: {}, ...more },
});
const tool = { name: "f", description: HOSTILE, parameters: { type: "object", properties: { a: { type: "string" } } } };
const call = { id: "call12345", name: "f", arguments: '{"a":"b"}' };
const REQUESTS: Readonly<Record<string, Request>> = {
  "one message": chat({ sampling: { max_tokens: 8 } }),
  "every parameter": chat({
    sampling: {
      ...{ temperature: 0.5, top_p: 0.9, top_k: 5, min_p: 0.1, repetition_penalty: 1.1, frequency_penalty: 0.5 },
      ...{ presence_penalty: 0.5, seed: 7, max_tokens: 8, stop: ["END", "\n\n"] },
    },
  }),
  "texts that break out": chat({
    messages: [
      { role: "system", content: HOSTILE },
      { ...user, content: `${HOSTILE}\nJSON\nJSON;\n"""` },
    ],
    sampling: { max_tokens: 8 },
  }),
  "tools and their results": chat({
    messages: [
      user,
      { role: "assistant", content: "", calls: [call] },
      { role: "tool", callId: call.id, content: HOSTILE },
    ],
    tools: [tool],
    sampling: { max_tokens: 8 },
  }),
  "a schema": chat({
    format: { type: "json_schema", schema: { type: "object", properties: {} } },
    sampling: { max_tokens: 64 },
  }),
  "a text": { kind: "text", request: { model: "tales", prompt: HOSTILE, sampling: { max_tokens: 8, top_k: 3 } } },
};

describe("code samples", () => {
  let model: Fake;
  let server: RunningServer;
  let folder: string;
  beforeAll(async () => {
    model = fakeModel();
    server = await startServer(model, { port: 0 });
    // Within the package, whose name and whose packages the samples import.
    mkdirSync(inRepo("dist/test-samples"), { recursive: true });
    folder = mkdtempSync(inRepo("dist/test-samples/"));
    for (const name of ["openai", "anthropic"]) writeFileSync(join(folder, `${name}.py`), CLIENT);
  });
  afterAll(async () => {
    await server?.close();
    if (folder) rmSync(folder, { recursive: true });
  });

  const commands: Readonly<Record<string, readonly [command: string, file: string]>> = {
    curl: ["bash", "sample.sh"],
    python: ["python3", "sample.py"],
    javascript: [process.execPath, "sample.mjs"],
    anthropic: ["python3", "anthropic_sample.py"],
    php: ["php", "sample.php"],
  };
  const cases = Object.entries(REQUESTS).flatMap(([name, request]) =>
    samplesOf(request, "http://localhost").map(({ id }) => ({ name, id, request })),
  );

  for (const { name, id, request } of some(
    cases.filter(({ id }) => id in commands),
    10,
  )) {
    const [command, file] = commands[id]!;
    const skip = missing(command) ?? (id === "curl" ? missing("curl") : null);
    it.skipIf(skip)(titled(`${id}: ${name}`, skip), async () => {
      const { code } = samplesOf(request, server.url).find((sample) => sample.id === id)!;
      writeFileSync(join(folder, file), code);
      const before = model.asked.length;
      const { stdout } = await run(command, [join(folder, file)], { cwd: folder });
      expect(stdout.trim()).not.toBe("");
      expect(model.asked.length).toBe(before + 1);
      const { messages, prompt, options } = model.asked.at(-1)!;
      if (request.kind === "text") expect(prompt).toBe(request.request.prompt);
      else {
        const texts = request.request.messages.map(({ role, content }) => ({ role, content }));
        expect(messages?.map(({ role, content }) => ({ role, content: content ?? "" }))).toEqual(texts);
        const { sampling, format } = request.request;
        const wanted = {
          temperature: sampling.temperature,
          topK: sampling.top_k,
          minP: sampling.min_p,
          stop: sampling.stop,
        };
        expect(options).toMatchObject({ maxTokens: sampling.max_tokens, ...JSON.parse(JSON.stringify(wanted)) });
        expect(options.responseFormat?.type ?? "text").toBe(format?.type ?? "text");
      }
    });
  }

  it.each(some(["every parameter", "texts that break out", "a text"], 1))(
    "hotset's library: %s, with models/tales",
    async (name) => {
      const { code } = samplesOf(REQUESTS[name]!, server.url).find(({ id }) => id === "hotset")!;
      writeFileSync(join(folder, "library.mjs"), code);
      const { stdout } = await run(process.execPath, [join(folder, "library.mjs")], { cwd: inRepo("models") });
      expect(stdout).not.toBe("");
    },
  );

  it("no name of a model leaves its place", () => {
    const evil = 'x"\n`;process.exit()//\nJSON\n</script>';
    for (const { code } of samplesOf(chat({ model: evil }), server.url)) {
      expect(code.split("\n").filter((line) => /^(`;process|JSON$)/.test(line)).length).toBeLessThan(2);
    }
  });
});
