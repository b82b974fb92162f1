import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { shareBudget } from "../../src/index.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { hubServer } from "../support/hub_server.ts";
import { leftToCi } from "../support/level.ts";
import { PATIENT } from "../support/patience.ts";
import { some } from "../support/some.ts";
import { eventsOf } from "./fake_model.ts";
import { startCommand } from "./served.ts";

/** A folder with models/tales under two names. */
const folder = mkdtempSync(join(tmpdir(), "hotset-test-"));
const CPU = ["--backend", "cpu", "--weights", "q4", "--threads", "1", "--port", "0"];
let [need, weights] = [0, 0];

beforeAll(async () => {
  for (const name of ["one", "two"]) symlinkSync(inRepo("models/tales"), join(folder, name));
  const budget = await shareBudget({ backend: "cpu", weights: "q4" });
  ({ ram: need, weights } = await budget.measure(join(folder, "one")));
});
afterAll(() => rmSync(folder, { recursive: true }));

const start = (...args: string[]) => startCommand(process.execPath, ["dist/src/cli/main.js", "serve", ...args, ...CPU]);

async function post(url: string, path: string, body: object): Promise<Response> {
  return fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

const asked = (model: string, more: object = {}) => ({
  model,
  messages: [{ role: "user", content: "Tell me of a fox." }],
  max_tokens: 12,
  temperature: 0,
  ...more,
});

async function textOf(response: Response): Promise<string> {
  const events = eventsOf(await response.text()).map(
    ({ data }) => data as { choices?: { delta: { content?: string } }[] },
  );
  return events.map(({ choices }) => choices?.[0]?.delta.content ?? "").join("");
}

async function states(url: string): Promise<Record<string, string>> {
  const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string; state: string }[] };
  return Object.fromEntries(data.map(({ id, state }) => [id, state]));
}

describe("two models, room for one", () => {
  it("each is loaded when it is named; both answer the same, whole and streamed, however they mix", async () => {
    const server = start("--models-dir", folder, "--ram", String(Math.floor(1.5 * need)), "--drain", "0");
    await server.until(/curl .* -d /);
    const url = await server.url();
    expect(await states(url)).toEqual({ one: "unloaded", two: "unloaded" });
    const whole = async (model: string): Promise<string> => {
      const response = await post(url, "/v1/chat/completions", asked(model));
      const { model: by, choices } = (await response.json()) as {
        model: string;
        choices: { message: { content: string } }[];
      };
      expect([response.status, by]).toEqual([200, model]);
      return choices[0]!.message.content;
    };
    const text = await whole("one");
    expect(text).not.toBe("");
    expect(await states(url)).toEqual({ one: "ready", two: "unloaded" });
    expect(await whole("two")).toBe(text);
    expect(await states(url)).toEqual({ one: "unloaded", two: "ready" });
    const mixed = ["one", "two", "one", "two", "two", "one"].map(async (model, i) =>
      i % 2 === 0 ? textOf(await post(url, "/v1/chat/completions", asked(model, { stream: true }))) : whole(model),
    );
    expect(new Set(await Promise.all(mixed))).toEqual(new Set([text]));
    const other = await post(url, "/api/chat", asked("three"));
    expect([other.status, await other.json()]).toEqual([
      404,
      { error: 'there is no model "three"; there are one, two' },
    ]);
    const ps = (await (await fetch(`${url}/api/ps`)).json()) as { models: unknown[] };
    expect(ps.models.length).toBe(1);
    server.child.kill("SIGTERM");
    expect(await server.exit).toEqual([0, null]);
  });

  // Six that were kept are twice the bound.
  const freed = "the memory of each is free before the next one is loaded";
  it.skipIf(leftToCi)(titled(freed, leftToCi), async () => {
    const server = start("--models-dir", folder, "--ram", String(Math.floor(1.5 * need)), "--drain", "0");
    const url = await server.url();
    const resident = async (): Promise<number> => {
      const metrics = await (await fetch(`${url}/metrics`)).text();
      return Number(/^process_resident_memory_bytes (\S+)$/m.exec(metrics)![1]);
    };
    const round = async (): Promise<void> => {
      for (const model of ["one", "two", "one", "two", "one", "two"])
        expect((await post(url, "/v1/chat/completions", asked(model))).status).toBe(200);
    };
    await round(); // the first loads also leave what the process keeps once
    const before = await resident();
    await round();
    // Polled: the system takes back the memory of a thread when that has ended.
    await expect.poll(async () => (await resident()) - before).toBeLessThan(3 * weights);
    server.child.kill("SIGTERM");
    expect(await server.exit).toEqual([0, null]);
  });
});

describe("a budget for both", () => {
  it("both stay; --pin loads at the start; idle ones leave", async () => {
    const server = start("--models-dir", folder, "--pin", "two", "--ram", String(3 * need), "--idle-unload", "1s");
    await server.until(/curl .* -d /);
    const url = await server.url();
    await expect.poll(() => states(url), PATIENT).toEqual({ one: "unloaded", two: "ready" });
    await (await post(url, "/v1/messages", asked("one"))).text();
    await expect.poll(() => states(url), PATIENT).toEqual({ one: "unloaded", two: "ready" });
    const log = await server.until(/model_unloaded/, "stderr");
    expect(log.match(/model_loaded model=\w+/g)).toEqual(["model_loaded model=two", "model_loaded model=one"]);
  });

  it.skipIf(leftToCi)(titled("one model that may leave is there at the start, and comes back", leftToCi), async () => {
    const server = start(join(folder, "one"), "--idle-unload", "500ms");
    await server.until(/curl .* -d /);
    const url = await server.url();
    await server.until(/model_loaded/, "stderr");
    await server.until(/model_unloaded/, "stderr");
    const answer = await post(url, "/v1/chat/completions", asked("gpt-4"));
    expect([answer.status, await answer.json()]).toMatchObject([200, { model: "one" }]);
  });
});

describe("--models-dir", () => {
  it.skipIf(leftToCi)(
    titled("has models that are put there later; until then the only one has the whole budget", leftToCi),
    async () => {
      const own = mkdtempSync(join(tmpdir(), "hotset-test-"));
      onTestFinished(() => rmSync(own, { recursive: true, force: true }));
      symlinkSync(inRepo("models/tales"), join(own, "one"));
      const server = start("--models-dir", own, "--ram", String(Math.floor(2.5 * need)));
      await server.until(/curl .* -d /);
      const url = await server.url();
      expect(await states(url)).toEqual({ one: "ready" });
      symlinkSync(inRepo("models/tales"), join(own, "two"));
      await expect.poll(() => states(url), { ...PATIENT, interval: 500 }).toEqual({ one: "ready", two: "unloaded" });
      const answer = await post(url, "/v1/chat/completions", asked("two"));
      expect([answer.status, await answer.json()]).toMatchObject([200, { model: "two" }]);
      await (await post(url, "/v1/chat/completions", asked("one"))).json();
      expect(await states(url)).toEqual({ one: "ready", two: "ready" }); // both within the budget now
    },
  );
});

describe("--allow-pull", () => {
  it.skipIf(leftToCi)(titled("a client downloads a model, which is then listed and answers", leftToCi), async () => {
    const files = Object.fromEntries(
      readdirSync(inRepo("models/tales")).map((name) => [name, readFileSync(join(inRepo("models/tales"), name))]),
    );
    const hub = await hubServer({ "acme/tales": { files } });
    const home = mkdtempSync(join(tmpdir(), "hotset-hub-"));
    onTestFinished(() => rmSync(home, { recursive: true, force: true }));
    const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: home, HF_TOKEN: "", HF_HUB_CACHE: "", HF_HUB_OFFLINE: "" };
    const args = ["dist/src/cli/main.js", "serve", "--models-dir", folder, "--allow-pull", ...CPU];
    const server = startCommand(process.execPath, args, env);
    await server.until(/curl .* -d /);
    const url = await server.url();
    const unknown = await post(url, "/api/pull", { model: "acme/none", stream: false });
    expect(await unknown.json()).toEqual({ error: expect.stringMatching(/has no model acme\/none/) });
    const path = await post(url, "/api/pull", { model: join(folder, "one"), stream: false });
    expect([path.status, await path.json()]).toEqual([
      400,
      { error: expect.stringMatching(/expected a name such as/) },
    ]);
    const lines = (await (await post(url, "/api/pull", { model: "acme/tales" })).text()).trim().split("\n");
    const told = lines.map((line) => JSON.parse(line) as { status: string; total?: number; completed?: number });
    expect(told.at(-1)).toEqual({ status: "success" });
    const last = told.findLast(({ total }) => total !== undefined)!;
    expect([last.completed, last.status]).toEqual([last.total, expect.stringMatching(/^pulling [0-9a-f]{12}$/)]);
    expect(Object.keys(await states(url))).toEqual(["one", "two", "acme/tales"]);
    const answer = await post(
      url,
      "/api/chat",
      asked("acme/tales:latest", { stream: false, options: { num_predict: 4 } }),
    );
    expect([answer.status, await answer.json()]).toMatchObject([200, { done: true }]);
  });
});

describe("at the start", () => {
  it.skipIf(leftToCi)(
    titled("a model of the hub is downloaded, with --yes; requests download nothing", leftToCi),
    async () => {
      const tales = inRepo("models/tales");
      const files = Object.fromEntries(readdirSync(tales).map((name) => [name, readFileSync(join(tales, name))]));
      const hub = await hubServer({ "acme/tales": { files } });
      const home = mkdtempSync(join(tmpdir(), "hotset-hub-"));
      onTestFinished(() => rmSync(home, { recursive: true, force: true }));
      const env = { HF_ENDPOINT: hub.endpoint, HF_HOME: home, HF_TOKEN: "", HF_HUB_CACHE: "", HF_HUB_OFFLINE: "" };
      const args = ["hf:acme/tales", join(folder, "one"), "--yes"];
      const server = startCommand(process.execPath, ["dist/src/cli/main.js", "serve", ...args, ...CPU], env);
      await server.until(/acme\/tales, one at /);
      const requests = hub.log.length;
      const url = await server.url();
      for (const model of ["tales", "acme/other"])
        expect((await post(url, "/v1/chat/completions", asked(model))).status).toBe(model === "tales" ? 200 : 404);
      expect(await states(url)).toEqual({ "acme/tales": "ready", one: "unloaded" });
      expect(hub.log.length).toBe(requests);
    },
  );

  const refused: [string, () => string[], RegExp][] = [
    [
      "a named model that exceeds the budget",
      () => [join(folder, "one"), join(folder, "two"), "--ram", "4MiB"],
      /^hotset: one: the memory budget of 4 MiB .* is too small/m,
    ],
    [
      "pinned models that do",
      () => ["--models-dir", folder, "--pin", "one,two", "--ram", String(Math.floor(1.5 * need))],
      /--pin: the pinned models take/,
    ],
    [
      "--pin of no model",
      () => ["--models-dir", folder, "--pin", "three"],
      /--pin three: there is no model "three"; there are one, two/,
    ],
    [
      "--pin of another name than the only model's",
      () => [join(folder, "one"), "--pin", "three"],
      /--pin three: there is no model "three"; there are one/,
    ],
    [
      "a folder without models",
      () => ["--models-dir", inRepo("kernels")],
      /--models-dir .*: expected folders of weights or GGUF files, found none/,
    ],
    ["a name that is not on this machine", () => ["hf:no/such", join(folder, "one")], /hf:no\/such.*hotset pull/],
  ];
  it.each(some(refused, 2))("%s: one line, exit code 1", async (_, args, message) => {
    const server = start(...args());
    expect(await server.exit).toEqual([1, null]);
    expect(await server.until(/^hotset: /m, "stderr")).toMatch(message);
  });
});

it("nothing at all: wrong usage", async () => {
  const server = start();
  onTestFinished(() => void server.child.kill());
  expect(await server.exit).toEqual([2, null]);
});
