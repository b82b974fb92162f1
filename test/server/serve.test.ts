import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { some } from "../support/some.ts";
import { ask, startScripted } from "./served.ts";

const start = (args: readonly string[], env: Record<string, string> = {}) => startScripted("folder", args, env);

describe("hotset serve", () => {
  it("prints a line to try, which works; SIGTERM closes it", async () => {
    const { child, until, exit } = start(["--parallel", "3", "--queue", "5", "--backend", "cpu", "--drain", "0"]);
    const text = await until(" -d ");
    expect(text).toContain('{"folder":"folder","parallel":3,"queue":5,"backend":"cpu"}');
    const [, url, body] = /^curl (\S+) -H "content-type: application\/json" -d '(.*)'$/m.exec(text) ?? [];
    const response = await fetch(url!, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: body!,
    });
    expect(await response.json()).toMatchObject({ choices: [{ message: { content: "Hi" } }] });
    child.kill("SIGTERM");
    expect(await exit).toEqual([0, null]);
    expect(await until("closed")).toContain("closed");
  });

  it("the first URL that it says is of a server that answers", async () => {
    const { child } = start([]);
    let said = "";
    const first = new Promise<string>((resolve) => {
      for (const stream of [child.stdout, child.stderr])
        stream!.on("data", (piece: string) => {
          said += piece;
          const found = /http:\/\/127\.0\.0\.1:\d+/.exec(said);
          if (found) resolve(found[0]);
        });
    });
    expect((await ask(await first, "hello", false)).status).toBe(200);
  });

  it("Ctrl-C ends the answers under way", async () => {
    const { child, until, exit } = start([]);
    const [, url] = /^curl (\S+) /m.exec(await until(" -d ")) ?? [];
    const messages = [{ role: "user", content: "wait" }];
    const body = JSON.stringify({ model: "m", messages, stream: true });
    const response = await fetch(url!, { method: "POST", headers: { "content-type": "application/json" }, body });
    child.kill("SIGINT");
    expect(await response.text()).toContain("the server is closing");
    expect(await exit).toEqual([130, null]);
    await until("closed");
  });

  it("the key comes from the environment and is not printed", async () => {
    const { until } = start([], { HOTSET_API_KEY: "secret" });
    const text = await until(" -d ");
    expect(text).toContain('-H "authorization: Bearer $HOTSET_API_KEY"');
    expect(text).not.toContain("secret");
    const [, base] = /Anthropic: (\S+)\)/.exec(text) ?? [];
    expect((await fetch(`${base}/v1/models`)).status).toBe(401);
    expect((await fetch(`${base}/v1/models`, { headers: { "x-api-key": "secret" } })).status).toBe(200);
  });

  it("every option comes from the environment too; the command line counts more; empty variables do not count", async () => {
    const env = { HOTSET_PARALLEL: "3", HOTSET_QUEUE: "5", HOTSET_BACKEND: "cpu", HOTSET_LOG: "", HOTSET_DRAIN: "0" };
    const { until } = start(["--queue", "6"], env);
    expect(await until(" -d ")).toContain('{"folder":"folder","parallel":3,"queue":6,"backend":"cpu"}');
  });

  it.each(
    some<[Record<string, string>, readonly string[], RegExp]>(
      [
        [{ HOTSET_PARALLEL: "many" }, [], /HOTSET_PARALLEL.*Expected an integer/],
        [{ HOTSET_API_KEY: "" }, [], /--api-key is empty/],
        [{}, ["--api-key-file", "/no/such/file"], /--api-key-file \/no\/such\/file: cannot be read/],
        [{}, ["--host", "unix:hotset.sock"], /needs the absolute path of a socket/],
        [{}, ["--host", `unix:/${"a".repeat(120)}`], /more than 107 bytes/],
        [{}, ["--host", "unix:/no/such/folder/hotset.sock"], /its folder does not exist/],
        [{}, ["--host", "/run/hotset.sock"], /is a path, which needs unix: in front/],
        [{}, ["--host", "http://localhost"], /is a URL/],
        [{}, ["--host", "localhost:8080"], /has a port, which --port takes/],
        [{}, ["--host", "*"], /expected an IP address/],
        [{}, ["--host", "192.0.2.1"], /is not an address of this machine/],
        [{}, ["--allow-host", "https://llm.example"], /is a URL, a name is wanted/],
        [{}, ["--cors", "app.example"], /Expected an origin/],
        [{}, ["--cors", "https://*.example"], /Expected an origin/],
        [{}, ["--log", "yaml"], /text, json, off/],
        [{}, ["--drain", "-1"], /Expected a time from 0/],
        [{}, ["--config", "/no/such/file"], /--config \/no\/such\/file: cannot be read/],
      ],
      3,
    ),
  )("%j %j is refused before anything is loaded", async (env, args, message) => {
    const { until, exit } = start(args, env);
    expect((await exit)[0]).toBe(1); // of the host; the command itself tells wrong usage by 2
    expect(await until(message, "stderr")).not.toContain("listening");
  });

  it.skipIf(leftToCi)(
    titled("Kubernetes' variable for a service named hotset is no port; --host takes an address in brackets", leftToCi),
    async () => {
      const { url } = start(["--host", "[::1]"], { HOTSET_PORT: "tcp://10.96.0.7:8080" });
      const base = await url();
      expect(base).toMatch(/^http:\/\/\[::1\]:\d+$/);
      expect((await fetch(`${base}/livez`)).status).toBe(200);
    },
  );

  it.skipIf(leftToCi)(titled("a file of keys: any of them, with the one of the environment", leftToCi), async () => {
    const folder = mkdtempSync(join(tmpdir(), "hotset-test-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "keys");
    writeFileSync(file, "# the old one, until January\nold\n\n  new\r\n");
    const { until, url } = start(["--api-key-file", file], { HOTSET_API_KEY: "own" });
    await until(" -d ");
    const base = await url();
    const status = async (key: string) => (await fetch(`${base}/v1/models`, { headers: { "x-api-key": key } })).status;
    expect(await Promise.all(["old", "new", "own", "# the old one, until January", "older"].map(status))).toEqual([
      200, 200, 200, 401, 401,
    ]);
  });

  it("--log json: a line an object, from the first to the last, with the caller's id", async () => {
    const { child, until, exit } = start(["--log", "json", "--drain", "0"]);
    const base = /Anthropic: (\S+)\)/.exec(await until(" -d "))![1]!;
    const headers = { "x-request-id": "r-1", "x-forwarded-for": "203.0.113.9" };
    await (await ask(base, "hello", true, { headers: { "content-type": "application/json", ...headers } })).text();
    await fetch(`${base}/readyz`);
    child.kill("SIGTERM");
    await exit;
    const lines = (await until('"stopped"', "stderr")).trimEnd().split("\n");
    const events = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events.map(({ event }) => event)).toEqual(["listening", "ready", "request", "draining", "stopped"]);
    expect(events[2]).toMatchObject({
      request_id: "r-1",
      forwarded_for: "203.0.113.9",
      status: 200,
      outcome: "ok",
      finish: ["stop"],
      prompt_tokens: 5,
      completion_tokens: 2,
    });
  });
});
