import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { type ListenOptions, type RunningServer, startServer } from "../../src/server/node_serve.ts";
import { PATIENT } from "../support/patience.ts";
import { type Act, eventsOf, type Fake, fakeModel } from "./fake_model.ts";

const BODY = JSON.stringify({ model: "m", messages: [{ role: "user", content: "hi" }] });
const STREAM = JSON.stringify({ ...JSON.parse(BODY), stream: true });
/** How long something may take that happens by itself; no matter how busy the machine is. */
const JSON_TYPE = { "content-type": "application/json" };

async function serve(model: Fake = fakeModel(), options: ListenOptions = {}): Promise<RunningServer> {
  const server = await startServer(model, { port: 0, ...options });
  onTestFinished(() => server.close());
  return server;
}

const says = (...acts: Act[]): Fake => fakeModel({ acts: () => acts });
const ask = (server: RunningServer, body = BODY, more: RequestInit = {}): Promise<Response> =>
  fetch(`${server.url}/v1/chat/completions`, { method: "POST", headers: JSON_TYPE, body, ...more });

/** A bare connection; `text` is what the server sends on it until it closes it. */
function raw(server: RunningServer, ...parts: (string | Uint8Array)[]): { socket: Socket; text: Promise<string> } {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  onTestFinished(() => void socket.destroy());
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  for (const part of parts) socket.write(part);
  return { socket, text: new Promise((resolve) => socket.on("error", () => {}).on("close", () => resolve(text))) };
}

function post(body: string, length = body.length): string {
  return `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`;
}

describe("a client that leaves", () => {
  it.each([
    ["while it waits for a whole answer", BODY],
    ["in the middle of a stream", STREAM],
  ])("%s: the engine is told", async (_, body) => {
    const model = says({ say: "a" }, { wait: null });
    const { socket } = raw(await serve(model), post(body));
    await expect.poll(() => model.handed(), PATIENT).toBe(1);
    const { signal } = model.asked[0]!.options;
    expect(signal?.aborted).toBe(false);
    socket.destroy();
    await expect.poll(() => [model.running(), signal?.aborted], PATIENT).toEqual([0, true]);
  });

  it("leaves others alone", async () => {
    let release = (): void => {};
    const wait = new Promise<void>((resolve) => {
      release = resolve;
    });
    const model = says({ say: "a" }, { wait }, { say: "b" });
    const server = await serve(model);
    const stays = ask(server, STREAM).then((response) => response.text());
    const leaves = raw(server, post(STREAM)).socket;
    await expect.poll(() => model.handed(), PATIENT).toBe(2);
    leaves.destroy();
    await expect.poll(() => model.running(), PATIENT).toBe(1);
    release();
    expect(eventsOf(await stays).at(-2)?.data).toMatchObject({ choices: [{ finish_reason: "stop" }] });
  });
});

describe("a slow stream and a slow reader", () => {
  it("comments while the prompt is computed, then the answer", async () => {
    let release = (): void => {};
    const wait = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { body } = await ask(await serve(says({ wait }, { say: "a" }), { keepAliveMs: 10 }), STREAM);
    let text = "";
    for await (const chunk of body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (text.startsWith(": ping\n\n: ping\n\n")) release();
    }
    expect(text).toMatch(/^(: ping\n\n){2,}data: /);
    expect(eventsOf(text).map(({ data }) => data)).toHaveLength(4);
  });

  it("ping events instead, where the API is Anthropic's", async () => {
    let release = (): void => {};
    const wait = new Promise<void>((resolve) => {
      release = resolve;
    });
    const server = await serve(says({ wait }, { say: "a" }), { keepAliveMs: 10 });
    const body5 = JSON.stringify({ ...JSON.parse(STREAM), max_tokens: 5 });
    const { body } = await fetch(`${server.url}/v1/messages`, { method: "POST", headers: JSON_TYPE, body: body5 });
    let text = "";
    for await (const chunk of body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      if (eventsOf(text).length >= 2) release();
    }
    const names = eventsOf(text).map(({ event }) => event);
    expect(names.slice(0, 2)).toEqual(["ping", "ping"]);
    expect(eventsOf(text)[0]?.data).toEqual({ type: "ping" });
    expect(names.filter((name) => name !== "ping")[0]).toBe("message_start");
  });

  it("a reader that stops makes the engine wait, and is cut off", async () => {
    const words = "x".repeat(64 * 1024);
    const endless = function* (): Generator<Act> {
      for (;;) yield { say: words };
    };
    const model = fakeModel({ acts: endless });
    const { socket } = raw(await serve(model, { stallMs: 300 }), post(STREAM));
    socket.pause();
    await expect.poll(() => model.handed(), PATIENT).toBeGreaterThan(1);
    await expect.poll(() => model.running(), PATIENT).toBe(0);
    // What the system holds for a connection is a few MB; without waiting, it would
    // never have ended.
    expect(model.handed() * words.length).toBeLessThan(64 * 2 ** 20);
  });

  it("an answer that takes longer than a reader may stall is waited for", async () => {
    const late = (): Act => ({ wait: new Promise((resolve) => setTimeout(resolve, 400)) });
    const model = fakeModel({ acts: () => [late(), { say: "a" }] });
    expect((await ask(await serve(model, { stallMs: 100 }))).status).toBe(200);
  });
});

describe("requests that are no requests", () => {
  it("headers that never end, and a body that never comes: 408", async () => {
    const server = await serve(fakeModel(), { headersTimeoutMs: 100, requestTimeoutMs: 200 });
    const late = await Promise.all([raw(server, "GET / HT").text, raw(server, post("{", 1000)).text, raw(server).text]);
    for (const text of late.slice(0, 2))
      expect(text).toMatch(/^HTTP\/1\.1 408 .*\r\n\r\n\{"error":\{"message":"the request did not arrive in time"/s);
    // Polled: on a busy machine a good request may take longer than this server waits for headers.
    await expect.poll(async () => (await ask(server)).status, PATIENT).toBe(200);
  });

  it("a connection that was refused is gone, though the client keeps its side of it open", async () => {
    const { hostname, port } = new URL((await serve(fakeModel())).url);
    const sockets = () => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
    await expect.poll(sockets, PATIENT).toBe(0); // those of earlier tests
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    onTestFinished(() => void socket.destroy());
    socket.resume().write("no request\r\n\r\n");
    await once(socket, "end");
    await expect.poll(sockets, PATIENT).toBe(1); // the client's own
  });

  it.each<[string, string, RegExp]>([
    [
      "1 MB of headers",
      `GET /health HTTP/1.1\r\nHost: localhost\r\nA: ${"a".repeat(1e6)}\r\n\r\n`,
      /^HTTP\/1\.1 431 .*16 KiB.*invalid_request_error/s,
    ],
    ["no HTTP", "\u0016\u0003\u0001\r\n\r\n", /^HTTP\/1\.1 400 .*not HTTP/s],
    ["no Host", "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", /^HTTP\/1\.1 400 /],
    [
      "a Host that is none",
      "GET /health HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n",
      /^HTTP\/1\.1 400 .*malformed/s,
    ],
    [
      "another's Host",
      "GET /v1/models HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n\r\n",
      /^HTTP\/1\.1 403 .*evil\.com/s,
    ],
    [
      "a path out of the root",
      "GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
      /^HTTP\/1\.1 404 /,
    ],
    [
      "a backslash",
      "GET /v1\\models HTTP/1.1\r\nHost: localhost:99\r\nConnection: close\r\n\r\n",
      /^HTTP\/1\.1 40[04] /,
    ],
    ["two lengths", `${post("{}").replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n")}`, /^HTTP\/1\.1 400 /],
    ["a body of a terabyte", post("{", 1e12), /^HTTP\/1\.1 413 /],
  ])("%s", async (_, request, answer) => {
    const server = await serve();
    const { socket, text } = raw(server, request);
    socket.end();
    expect(await text).toMatch(answer);
    expect((await ask(server)).status).toBe(200);
  });

  it("a body in chunks that goes on for ever: 413", async () => {
    const server = await serve(fakeModel(), { bodyLimit: 100_000 });
    const head = post("").replace(/Content-Length: 0/, "Transfer-Encoding: chunked");
    const { text } = raw(server, head, ...Array(20).fill(`2710\r\n${" ".repeat(10_000)}\r\n`));
    expect(await text).toMatch(/^HTTP\/1\.1 413 .*larger than 100000 bytes/s);
  });

  it.each(["[::1]", "[::ffff:127.0.0.1]:80", "[0:0:0:0:0:0:0:1]", "[fe80::1%eth0]:8080", "[FE80::1]", "localhost."])(
    "Host: %s is this machine",
    async (host) => {
      const request = `GET /v1/models HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
      expect(await raw(await serve(), request).text).toMatch(/^HTTP\/1\.1 200 /);
    },
  );

  it.each(["/", "*"])(
    "OPTIONS %s, as HAProxy asks without a Host, tells whether to send requests here",
    async (path) => {
      const request = `OPTIONS ${path} HTTP/1.0\r\n\r\n`;
      expect(await raw(await serve(), request).text).toMatch(/^HTTP\/1\.1 200 /);
      const loading = await startServer(null, { port: 0 });
      onTestFinished(() => loading.close());
      expect(await raw(loading, request).text).toMatch(/^HTTP\/1\.1 503 .*"status":"loading"/s);
    },
  );

  it("HTTP/1.0 without a Host is answered", async () => {
    expect(await raw(await serve(), "GET /health HTTP/1.0\r\n\r\n").text).toMatch(/^HTTP\/1\.1 200 /);
  });
});

describe("connections", () => {
  it("an idle one is kept for as long as it is told to be, longer than a reader may stall, and then closed", async () => {
    const kept = await serve(fakeModel(), { stallMs: 50 });
    const { socket, text } = raw(kept, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    await once(socket, "data");
    await new Promise((resolve) => setTimeout(resolve, 200)); // four times a stall
    socket.write("GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect((await text).match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
    expect(await text).toContain("Keep-Alive: timeout=75\r\n"); // gateways keep theirs for 60 s
    const brief = await serve(fakeModel(), { idleMs: 50 });
    expect(await raw(brief, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").text).toContain("200 OK");
  });

  it("a thousand that say nothing, and one that asks", async () => {
    const server = await serve();
    const idle = Array.from({ length: 1000 }, () => raw(server).socket);
    await Promise.all(idle.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
    expect((await ask(server)).status).toBe(200);
  });

  it("more than the limit are closed; those before them are answered", async () => {
    const server = await serve(fakeModel(), { connections: 1 });
    const first = raw(server);
    await new Promise((resolve) => first.socket.once("connect", resolve));
    expect(await raw(server, "GET /health HTTP/1.0\r\n\r\n").text).toBe("");
    first.socket.write("GET /health HTTP/1.0\r\n\r\n");
    expect(await first.text).toMatch(/^HTTP\/1\.1 200 /);
  });
});

describe("closing", () => {
  it("ends streams with an error that says so, and whole answers with 503", async () => {
    const model = says({ say: "a" }, { wait: null });
    const server = await serve(model);
    const stream = ask(server, STREAM).then((response) => response.text());
    const whole = ask(server);
    await expect.poll(() => model.handed(), PATIENT).toBe(2);
    await server.close();
    expect(eventsOf(await stream).at(-1)?.data).toMatchObject({ error: { message: "the server is closing" } });
    expect((await whole).status).toBe(503);
    expect(model.running()).toBe(0);
    await expect(ask(server)).rejects.toThrow();
  });

  it("a port in use is said", async () => {
    const { url } = await serve();
    await expect(serve(fakeModel(), { port: Number(new URL(url).port) })).rejects.toThrow(/in use.*--port/);
  });
});
