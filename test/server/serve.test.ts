import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it, onTestFinished } from "vitest";
import { inRepo } from "../support/fixtures.ts";

/** Starts the command; `until` waits for a text on stdout and returns all of it. */
function start(args: readonly string[], env: Record<string, string> = {}) {
  const command = [inRepo("dist/test/server/serve_host.js"), "serve", "folder", "--port", "0", ...args];
  const child: ChildProcess = spawn(process.execPath, command, { env: { ...process.env, ...env } });
  onTestFinished(() => void child.kill("SIGKILL"));
  let text = "";
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  const until = async (part: string): Promise<string> => {
    await expect.poll(() => text, { timeout: 60_000 }).toContain(part);
    return text;
  };
  return { child, until, exit: once(child, "exit") as Promise<[number | null]> };
}

describe("hotset serve", () => {
  it("prints a line to try, which works; SIGTERM closes it", async () => {
    const { child, until, exit } = start(["--parallel", "3", "--queue", "5", "--backend", "cpu"]);
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
});
