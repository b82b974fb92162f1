import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { PATIENT } from "../support/patience.ts";
import { some } from "../support/some.ts";
import { ask, type Served, startCommand, startScripted } from "./served.ts";

async function statusOf(url: string, path: string): Promise<unknown> {
  const response = await fetch(`${url}${path}`);
  return [response.status, ((await response.json()) as { status?: string }).status];
}

/** The first piece of a stream has come: it is being computed. */
async function begun(response: Response): Promise<() => Promise<string>> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value } = await reader.read();
    text += value ?? "";
    if (text.includes('"H"')) break;
  }
  return async () => {
    for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value;
    return text;
  };
}

describe("while one of many models is being loaded", () => {
  it("the server is ready, and answers with others that fit beside it or after it", async () => {
    const { child, url, until } = startScripted("slow", ["folder"]);
    await until(/slow, folder at /);
    const base = await url();
    expect(await statusOf(base, "/readyz")).toEqual([200, "ready"]);
    const first = ask(base, "hello", true, {}, "slow");
    await until('"folder":"slow"');
    const second = ask(base, "hello", false, {}, "folder");
    await expect
      .poll(async () => (await (await fetch(`${base}/health`)).json()) as object)
      .toMatchObject({ queued: 2 });
    child.stdin!.write("go");
    expect(await (await first).text()).toContain("[DONE]");
    expect(await (await second).json()).toMatchObject({ model: "folder" });
  });

  it.each(
    some<[string, NodeJS.Signals, number]>(
      [
        ["slow", "SIGTERM", 0],
        ["stuck", "SIGTERM", 0],
        ["slow", "SIGINT", 130],
        ["stuck", "SIGINT", 130],
      ],
      1,
    ),
  )("%s, %s ends it and tells what waits: exit code %i", async (model, signal, code) => {
    const { child, url, until, exit } = startScripted(model, ["folder", "--drain", "0"]);
    await until(/folder at /);
    const waiting = ask(await url(), "hello", false, {}, model);
    await until(`"folder":"${model}"`);
    child.kill(signal);
    const answer = await waiting;
    expect([answer.status, await answer.json()]).toMatchObject([503, { error: { code: "closing" } }]);
    expect(await exit).toEqual([code, null]);
  });

  it.skipIf(leftToCi)(
    titled("a model that cannot be loaded: a line in the log, and the server goes on", leftToCi),
    async () => {
      const { child, url, until } = startScripted("broken", ["folder"]);
      await until(/broken, folder at /);
      const failing = ask(await url(), "hello", false, {}, "broken");
      await until('"folder":"broken"');
      child.stdin!.write("go");
      expect((await failing).status).toBe(500);
      await until(/model_failed model=broken reason="broken\/config.json: expected a number"/, "stderr");
      expect((await ask(await url(), "hello", false, {}, "folder")).status).toBe(200);
    },
  );
});

describe("while the model is being loaded", () => {
  it("the server lives, is not ready, and says so to other requests", async () => {
    const { child, url, until } = startScripted("slow");
    const base = await url();
    await until('"folder":"slow"');
    expect(await statusOf(base, "/livez")).toEqual([200, "alive"]);
    expect(await statusOf(base, "/readyz")).toEqual([503, "loading"]);
    const health = await fetch(`${base}/health`);
    expect([health.status, await health.json()]).toMatchObject([503, { status: "loading", error: { code: 503 } }]);
    expect((await fetch(`${base}/metrics`)).status).toBe(200);
    for (const path of ["/v1/models", "/v1/messages", "/nothing"]) {
      const response = await fetch(`${base}${path}`);
      expect([path, response.status, response.headers.get("retry-after")]).toEqual([path, 503, "1"]);
    }
    const asked = await ask(base, "hello");
    expect(asked.status).toBe(503);
    expect(await asked.json()).toMatchObject({ error: { code: "loading", message: "the model is being loaded" } });
    child.stdin!.write("go");
    await expect.poll(() => statusOf(base, "/readyz"), PATIENT).toEqual([200, "ready"]);
    expect(await statusOf(base, "/health")).toEqual([200, "ok"]);
    expect((await ask(base, "hello")).status).toBe(200);
  });

  it.each(
    some<[string, NodeJS.Signals, number]>(
      [
        ["slow", "SIGTERM", 143],
        ["stuck", "SIGTERM", 143],
        ["slow", "SIGINT", 130],
        ["stuck", "SIGINT", 130],
      ],
      1,
    ),
  )("%s, %s: exit code %i", async (folder, signal, code) => {
    const { child, until, exit } = startScripted(folder);
    await until('"folder"');
    child.kill(signal);
    expect(await exit).toEqual([code, null]);
  });

  const failing = "a model that cannot be loaded: its message, exit code 1, and the port is closed";
  it.skipIf(leftToCi)(titled(failing, leftToCi), async () => {
    const { child, url, until, exit } = startScripted("broken");
    const base = await url();
    await until('"folder"');
    expect(await statusOf(base, "/readyz")).toEqual([503, "loading"]);
    child.stdin!.write("go");
    expect(await exit).toEqual([1, null]);
    await until("broken/config.json: expected a number", "stderr");
    await expect(fetch(`${base}/livez`)).rejects.toThrow();
  });

  it("a port that is taken is told before anything is loaded", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void other.close());
    await expect.poll(() => other.listening).toBe(true);
    const { port } = other.address() as AddressInfo;
    const { until, exit, child } = startScripted("folder", ["--port", String(port)]);
    let stdout = "";
    child.stdout!.on("data", (text: string) => {
      stdout += text;
    });
    expect(await exit).toEqual([1, null]);
    await until(/in use.*--port/, "stderr");
    expect(stdout).toBe("");
  });
});

describe("SIGTERM", () => {
  it("lets answers finish, tells other requests to go elsewhere, and ends with 0", async () => {
    const { child, url, until, exit } = startScripted("folder");
    const base = await url();
    await until(" -d ");
    const stream = await begun(await ask(base, "held"));
    const whole = ask(base, "held", false);
    await expect.poll(async () => (await fetch(`${base}/metrics`)).text(), PATIENT).toContain("requests_running 2");
    child.kill("SIGTERM");
    await until("draining", "stderr");
    expect(await statusOf(base, "/livez")).toEqual([200, "alive"]);
    expect(await statusOf(base, "/readyz")).toEqual([503, "draining"]);
    expect(await statusOf(base, "/health")).toEqual([503, "draining"]);
    const refused = await ask(base, "hello");
    expect(refused.status).toBe(503);
    const { headers } = refused;
    expect([headers.get("retry-after"), headers.get("connection"), headers.get("x-should-retry")]).toEqual([
      "1",
      "close",
      null,
    ]);
    expect(await refused.json()).toMatchObject({ error: { code: "draining" } });
    child.stdin!.write("go");
    expect(await stream()).toMatch(/"i"[\s\S]*\[DONE\]\n\n$/);
    const answer = await whole;
    expect([answer.status, answer.headers.get("connection")]).toEqual([200, "close"]);
    expect(await answer.json()).toMatchObject({ choices: [{ message: { content: "Hi" } }] });
    expect(await exit).toEqual([0, null]);
    await until("closed");
  });

  it.skipIf(leftToCi)(titled("a connection that was kept is answered once more, and closed", leftToCi), async () => {
    const { child, url, until } = startScripted("folder");
    const { hostname, port } = new URL(await url());
    await until(" -d ");
    const socket = connect(Number(port), hostname);
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    const request = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n";
    socket.write(request);
    await expect.poll(() => text, PATIENT).toMatch(/200 OK[\s\S]*Connection: keep-alive[\s\S]*"object"/);
    child.kill("SIGTERM");
    await until("draining", "stderr");
    socket.write(request);
    await new Promise((resolve) => socket.on("close", resolve));
    expect(text).toMatch(/503 Service Unavailable[\s\S]*Connection: close/);
  });

  it.skipIf(leftToCi)(
    titled("after --drain the rest ends with an error that says so, and the exit code is 0", leftToCi),
    async () => {
      const { child, url, until, exit } = startScripted("folder", ["--drain", "0.5"]);
      await until(" -d ");
      const base = await url();
      const stream = await begun(await ask(base, "wait"));
      const whole = ask(base, "wait", false);
      await expect.poll(async () => (await fetch(`${base}/metrics`)).text(), PATIENT).toContain("requests_running 2");
      child.kill("SIGTERM");
      expect(await stream()).toMatch(
        /"error":\{"message":"the server is closing before[^"]*--drain gave answers 0.5 s"/,
      );
      const cut = await whole;
      expect([cut.status, cut.headers.get("retry-after"), cut.headers.get("x-should-retry")]).toEqual([503, "1", null]);
      expect(await exit).toEqual([0, null]);
    },
  );

  it.each(
    some<[NodeJS.Signals, number]>(
      [
        ["SIGTERM", 143],
        ["SIGINT", 130],
      ],
      1,
    ),
  )("and then %s: at once, with %i", async (second, code) => {
    const { child, url, until, exit } = startScripted("folder", ["--drain", "86400"]);
    await until(" -d ");
    const stream = await begun(await ask(await url(), "wait"));
    child.kill("SIGTERM");
    await until("draining", "stderr");
    child.kill(second);
    expect(await stream()).toContain("it was told to end at once");
    expect(await exit).toEqual([code, null]);
  });

  it.each(
    some<[NodeJS.Signals, number]>(
      [
        ["SIGTERM", 0],
        ["SIGINT", 130],
      ],
      0,
    ),
  )("%s and a step that does not end: %i all the same", async (signal, code) => {
    const { child, url, until, exit } = startScripted("unclosable", ["--drain", "0"]);
    await until(" -d ");
    const stream = await begun(await ask(await url(), "wait"));
    child.kill(signal);
    expect(await stream()).toContain("the server is closing");
    expect(await exit).toEqual([code, null]);
  });
});

describe("a model that computes", () => {
  const MODEL = ["models/tales", "--backend", "cpu", "--threads", "1", "--port", "0"];
  const start = (...args: string[]): Served =>
    startCommand(process.execPath, [inRepo("dist/src/cli/main.js"), "serve", ...MODEL, ...args]);
  const complete = (base: string, fields: object): Promise<Response> =>
    fetch(`${base}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "m", ignore_eos: true, seed: 1, ...fields }),
    });
  const LONG = { prompt: "the fox said once upon a time there was ".repeat(180), max_tokens: 1 };
  /** Prompts one after the other: those who ask meanwhile may be late for the first. */
  const LONGER = { ...LONG, prompt: ["a", "b", "c"].map((word) => `${word} ${LONG.prompt}`) };

  it.skipIf(leftToCi)(titled("finishes at SIGTERM what waits for its turn", leftToCi), async () => {
    const served = start("--weights", "q4", "--parallel", "1");
    const base = await served.url();
    await served.until(" -d ");
    const answers = Array.from({ length: 3 }, async () =>
      (await complete(base, { prompt: "Once", max_tokens: 400, stream: true })).text(),
    );
    const metric = (text: string, name: string) =>
      Number(new RegExp(`^hotset_${name} (\\d+)`, "m").exec(text)?.[1] ?? 0);
    let ended = 0; // the first may be over before this process looks
    for (const answer of answers) void answer.then(() => ended++);
    const there = async (): Promise<number> => {
      const text = await (await fetch(`${base}/metrics`)).text();
      return metric(text, "requests_running") + metric(text, "requests_queued") + ended;
    };
    await expect.poll(there, PATIENT).toBe(3);
    served.child.kill("SIGTERM");
    for (const text of await Promise.all(answers)) expect(text).toMatch(/\[DONE\]\n\n$/);
    expect(await served.exit).toEqual([0, null]);
  });

  it.skipIf(leftToCi)(titled("answers probes and signals in the middle of a long prompt", leftToCi), async () => {
    const served = start("--weights", "f32", "--chunk", "2048");
    const base = await served.url();
    await served.until(" -d ");
    const order: string[] = [];
    const answer = complete(base, LONGER).then((response) => {
      order.push("answer");
      return response;
    });
    await expect.poll(async () => (await fetch(`${base}/metrics`)).text(), PATIENT).toMatch(/requests_running [1-9]/);
    for (const path of ["/livez", "/readyz", "/health"]) {
      expect((await fetch(`${base}${path}`)).status).toBe(200);
      order.push(path);
    }
    served.child.kill("SIGTERM");
    await served.until("draining", "stderr");
    order.push("draining");
    expect((await answer).status).toBe(200);
    expect(order).toEqual(["/livez", "/readyz", "/health", "draining", "answer"]);
    expect(await served.exit).toEqual([0, null]);
  });

  it("and does not wait for its end where --drain leaves no time", async () => {
    const served = start("--weights", "f32", "--chunk", "2048", "--drain", "0");
    const base = await served.url();
    await served.until(" -d ");
    const answer = complete(base, { ...LONG, max_tokens: 300 });
    await expect.poll(async () => (await fetch(`${base}/metrics`)).text(), PATIENT).toContain("requests_running 1");
    served.child.kill("SIGTERM");
    expect((await answer).status).toBe(503);
    expect(await served.exit).toEqual([0, null]);
  });
});

describe("as the first process of a container", () => {
  it("any command heeds SIGTERM before it has read the rest of itself", async () => {
    // A signal as soon as it is listened for. Without that, this process would print
    // the version first.
    const kill = 'process.on("newListener",(name)=>name==="SIGTERM"&&setImmediate(()=>process.kill(process.pid,name)))';
    const early = ["--import", `data:text/javascript,${encodeURIComponent(kill)}`];
    const { exit, child } = startCommand(process.execPath, [...early, inRepo("dist/src/cli/main.js"), "--version"]);
    let stdout = "";
    child.stdout!.on("data", (text: string) => {
      stdout += text;
    });
    expect(await exit).toEqual([143, null]);
    expect(stdout).toBe("");
  });

  const isRoot = process.platform === "linux" && process.getuid?.() === 0;
  const skip = isRoot ? null : "skipped: only root on Linux can begin a namespace of processes";

  /** The server's process, which is 1 in its own namespace. */
  async function first({ child }: Served): Promise<number> {
    const children = `/proc/${child.pid}/task/${child.pid}/children`;
    await expect.poll(() => readFileSync(children, "utf8"), PATIENT).toMatch(/\d/);
    return Number(readFileSync(children, "utf8"));
  }

  function start(folder: string): Served {
    const host = [process.execPath, inRepo("dist/test/server/serve_host.js"), "serve", folder, "--port", "0"];
    return startCommand("unshare", ["--pid", "--fork", "--kill-child", ...host]);
  }

  it.skipIf(skip !== null)(titled("SIGTERM while loading ends it", skip), async () => {
    const served = start("stuck");
    await served.until('"folder"');
    process.kill(await first(served), "SIGTERM");
    expect(await served.exit).toEqual([143, null]);
  });

  it.skipIf(leftToCi ?? skip)(titled("SIGTERM drains, and Ctrl-C ends it", leftToCi ?? skip), async () => {
    for (const [signal, code] of [
      ["SIGTERM", 0],
      ["SIGINT", 130],
    ] as const) {
      const served = start("folder");
      await served.until(" -d ");
      const stream = await begun(await ask(await served.url(), "held"));
      process.kill(await first(served), signal);
      if (signal === "SIGTERM") {
        await served.until("draining", "stderr");
        served.child.stdin!.write("go");
      }
      expect(await stream()).toContain(signal === "SIGTERM" ? "[DONE]" : "the server is closing");
      expect(await served.exit).toEqual([code, null]);
    }
  });
});
