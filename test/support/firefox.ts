// Headless Firefox for tests of pages, by WebDriver BiDi over a WebSocket: WebGPU on, on whatever
// adapter there is.

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const FIREFOX = ["/usr/bin/firefox-esr", "/usr/bin/firefox"].find((path) => existsSync(path));
export const noFirefox = FIREFOX
  ? null
  : "skipped: no Firefox on this machine (with CI=true npm test installs it on Debian)";

const PREFERENCES = {
  "dom.webgpu.enabled": true,
  "gfx.webgpu.ignore-blocklist": true,
  "browser.shell.checkDefaultBrowser": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "app.update.enabled": false,
};

export interface Firefox {
  goto(url: string): Promise<void>;
  /**
   * The value of an expression in the page, or of the promise that it is. @throws Error with what
   * the page threw
   */
  evaluate<T>(expression: string): Promise<T>;
  /** Picks files in the <input> that `selector` finds first. */
  setFiles(selector: string, paths: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

export async function openFirefox(): Promise<Firefox> {
  const profile = mkdtempSync(join(tmpdir(), "hotset-firefox-"));
  const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${value});`);
  writeFileSync(join(profile, "user.js"), lines.join("\n"));
  const args = ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"];
  const child = spawn(FIREFOX!, args, { env: { ...process.env, HOME: profile, MOZ_HEADLESS: "1" } });
  const end = async (): Promise<void> => {
    const ended = new Promise((resolve) => child.once("close", resolve));
    if (child.exitCode === null && child.kill("SIGKILL")) await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const bidi = await Bidi.connect(`${await address(child)}/session`);
    await bidi.send("session.new", { capabilities: {} });
    const { contexts } = (await bidi.send("browsingContext.getTree", {})) as { contexts: { context: string }[] };
    const { context } = contexts[0]!;
    return {
      async goto(url) {
        await bidi.send("browsingContext.navigate", { context, url, wait: "complete" });
      },
      async evaluate<T>(expression: string) {
        const told = `Promise.resolve(${expression}).then((value) => JSON.stringify({ value }))`;
        const options = { expression: told, target: { context }, awaitPromise: true };
        const { result, exceptionDetails } = (await bidi.send("script.evaluate", options)) as {
          result?: { value: string };
          exceptionDetails?: { text: string };
        };
        if (!result) throw new Error(exceptionDetails?.text ?? "the page gave no result");
        return (JSON.parse(result.value) as { value: T }).value;
      },
      async setFiles(selector, paths) {
        const expression = `document.querySelector(${JSON.stringify(selector)})`;
        const options = { expression, target: { context }, awaitPromise: false, resultOwnership: "root" };
        const { result } = (await bidi.send("script.evaluate", options)) as { result: { sharedId: string } };
        await bidi.send("input.setFiles", { context, element: { sharedId: result.sharedId }, files: paths });
      },
      async close() {
        bidi.close();
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** The address that Firefox says it listens at. */
function address(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr!.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      const found = /WebDriver BiDi listening on (ws:\/\/\S+)/.exec(said)?.[1];
      if (found) resolve(found);
    });
    child.once("close", (code) => reject(new Error(`Firefox ended with ${code}: ${said.slice(-2000)}`)));
    child.once("error", reject);
  });
}

/** As much of a WebSocket as BiDi needs: texts, one at a time. Node 20 has no client of its own. */
class Bidi {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  #bytes = Buffer.alloc(0);
  #message = "";
  #last = 0;

  static connect(url: string): Promise<Bidi> {
    const headers = {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": randomBytes(16).toString("base64"),
    };
    return new Promise((resolve, reject) => {
      const asked = request(url.replace(/^ws:/, "http:"), { headers });
      asked.once("upgrade", (_, socket: Socket, head: Buffer) => resolve(new Bidi(socket, head)));
      asked.once("response", ({ statusCode }) => reject(new Error(`${url}: no WebSocket, but status ${statusCode}`)));
      asked.once("error", reject);
      asked.end();
    });
  }

  private constructor(socket: Socket, head: Buffer) {
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => this.#take(bytes));
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("Firefox closed the connection"));
      this.#waiting.clear();
    });
    this.#take(head);
  }

  send(method: string, params: object): Promise<unknown> {
    const id = ++this.#last;
    const payload = Buffer.from(JSON.stringify({ id, method, params }));
    // A whole text: its length in as few bytes as hold it, a mask (Firefox refuses one of zeros),
    // and the text under it.
    const { length } = payload;
    const size = Buffer.alloc(length < 126 ? 1 : length < 2 ** 16 ? 3 : 9);
    size[0] = 0x80 | (length < 126 ? length : length < 2 ** 16 ? 126 : 127);
    if (size.length === 3) size.writeUInt16BE(length, 1);
    if (size.length === 9) size.writeBigUInt64BE(BigInt(length), 1);
    const mask = randomBytes(4);
    mask[0]! |= 1;
    for (let i = 0; i < length; i++) payload[i]! ^= mask[i % 4]!;
    this.#socket.write(Buffer.concat([Buffer.of(0x81), size, mask, payload]));
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    for (;;) {
      if (this.#bytes.length < 2) return;
      const [first, short] = [this.#bytes[0]!, this.#bytes[1]! & 0x7f];
      const start = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (this.#bytes.length < start) return;
      const length =
        short === 126 ? this.#bytes.readUInt16BE(2) : short === 127 ? Number(this.#bytes.readBigUInt64BE(2)) : short;
      if (this.#bytes.length < start + length) return;
      const payload = this.#bytes.subarray(start, start + length);
      this.#bytes = this.#bytes.subarray(start + length);
      if ((first & 0x0f) > 2) continue; // a ping or a close: the socket tells of its end
      this.#message += payload.toString("utf8");
      if (first & 0x80) this.#hear();
    }
  }

  #hear(): void {
    const { id, type, result, error, message } = JSON.parse(this.#message) as {
      id?: number;
      type: string;
      result?: unknown;
      error?: string;
      message?: string;
    };
    this.#message = "";
    const waiting = id === undefined ? undefined : this.#waiting.get(id);
    if (!waiting) return; // an event
    this.#waiting.delete(id!);
    if (type === "success") waiting.resolve(result);
    else waiting.reject(new Error(`${error}: ${message}`));
  }
}
