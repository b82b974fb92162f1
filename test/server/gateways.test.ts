import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { PATIENT } from "../support/patience.ts";
import { some } from "../support/some.ts";
import { type Served, startCommand } from "./served.ts";

const REPLICA = ["models/tales", "--backend", "cpu", "--weights", "q4", "--threads", "1", "--port", "0"];
/** Clients at once; half of them stream. */
const CLIENTS = 8;
const TURNS = 5;
/** Answers that each client gets to its end after a replica was killed. */
const AFTERWARDS = 2;
/** So long a busy replica answers nothing: longer than two checks of HAProxy with their pauses. */
const SILENT_MS = 5000;

const NGINX = `user root;
pid nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    include hotset.conf;
}
`;

interface Gateway {
  readonly name: string;
  readonly program: string;
  readonly file: string;
  readonly args: (folder: string) => readonly string[];
}

/** How clients say to which conversation a request belongs. */
type Belongs = (conversation: string) => { readonly headers?: Record<string, string>; readonly body?: object };

const WAYS: Readonly<Record<string, Belongs>> = {
  Ann: (name) => ({ headers: { "x-session-affinity": name } }),
  Ben: (name) => ({ body: { prompt_cache_key: name } }),
  Cat: (name) => ({ body: { user: `"${name}" \\` } }),
  Dan: (name) => ({ body: { metadata: { user_id: JSON.stringify({ session: name }) } } }),
};

const GATEWAYS: readonly Gateway[] = [
  {
    name: "HAProxy",
    program: "/usr/sbin/haproxy",
    file: "haproxy.cfg",
    args: (folder) => ["-db", "-f", join(folder, "haproxy.cfg")],
  },
  {
    name: "nginx",
    program: "/usr/sbin/nginx",
    file: "nginx.conf",
    args: (folder) => ["-p", folder, "-c", "main.conf", "-g", "daemon off; master_process off;"],
  },
];

interface Asked {
  readonly status: number;
  /** The replica that answered, as the gateway names it. */
  readonly by: string;
  readonly text: string;
  /** Whether the whole answer came. */
  readonly whole: boolean;
}

/** @param onBegin called with the replica when the first bytes of the answer come */
function ask(socket: string, body: object, headers = {}, onBegin = (_by: string) => {}): Promise<Asked> {
  return new Promise((resolve) => {
    let text = "";
    const over = (response: IncomingMessage | null): void => {
      const by = String(response?.headers["x-served-by"] ?? "");
      const whole = "stream" in body ? text.endsWith("data: [DONE]\n\n") : response?.complete === true;
      resolve({ status: response?.statusCode ?? 0, by, text, whole });
    };
    const asked = request({
      socketPath: socket,
      method: "POST",
      path: "/v1/chat/completions",
      headers: { host: "localhost", "content-type": "application/json", ...headers },
    });
    asked.on("error", () => over(null));
    asked.on("response", (response) => {
      response.setEncoding("utf8").on("data", (piece: string) => {
        if (text === "") onBegin(String(response.headers["x-served-by"]));
        text += piece;
      });
      response.on("error", () => {});
      response.on("close", () => over(response));
    });
    asked.end(JSON.stringify({ model: "m", ...body }));
  });
}

interface Running {
  readonly socket: string;
  readonly replicas: readonly Served[];
  /** The address of the first replica. */
  readonly a: string;
}

/** Two replicas, and the gateway as src/server/deploy sets it up, on a Unix socket. */
async function start({ program, file, args }: Gateway): Promise<Running> {
  const folder = mkdtempSync(join(tmpdir(), "hotset-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const replicas = [1, 2].map(() =>
    startCommand(process.execPath, [inRepo("dist/src/cli/main.js"), "serve", ...REPLICA]),
  );
  const [a = "", b = ""] = (await Promise.all(replicas.map(({ url }) => url()))).map((url) => new URL(url).host);
  const socket = join(folder, "gateway.sock");
  const configuration = readFileSync(inRepo(`src/server/deploy/${file}`), "utf8")
    .replaceAll("10.0.0.1:8080", a)
    .replaceAll("10.0.0.2:8080", b)
    .replace("bind :80", `bind unix@${socket}`)
    .replace("listen 80;", `listen unix:${socket};`);
  writeFileSync(join(folder, file === "nginx.conf" ? "hotset.conf" : file), configuration);
  writeFileSync(join(folder, "main.conf"), NGINX);
  await Promise.all(replicas.map(({ until }) => until(" -d ")));
  startCommand(program, args(folder));
  const answers = async (): Promise<number> =>
    existsSync(socket) ? (await ask(socket, { messages: [{ role: "user", content: "a" }], max_tokens: 1 })).status : 0;
  await expect.poll(answers, PATIENT).toBe(200);
  return { socket, replicas, a };
}

const turns = (said: readonly string[]): object[] =>
  said.map((content, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content }));

/** A conversation: who answered, and the cached part of each prompt. */
async function talk(socket: string, name: string, belongs: Belongs): Promise<[by: string[], cached: number[]]> {
  const said: string[] = [];
  const by: string[] = [];
  const cached: number[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    said.push(`${name}, tell me of the fox and the crow. `.repeat(8));
    const { headers, body } = belongs(name);
    const answer = await ask(socket, { messages: turns(said), max_tokens: 4, ...body }, headers);
    expect(answer).toMatchObject({ status: 200, whole: true });
    const { choices, usage } = JSON.parse(answer.text);
    said.push(choices[0].message.content);
    by.push(answer.by);
    cached.push(usage.prompt_tokens_details.cached_tokens / usage.prompt_tokens);
  }
  return [by, cached];
}

/**
 * Clients that ask again and again; the first replica gets the signal as soon as a stream of it has
 * begun. Returns the answers that were not whole.
 */
async function underLoad({ socket, replicas, a }: Running, signal: NodeJS.Signals): Promise<Asked[]> {
  let sent = false;
  const onBegin = (by: string): void => {
    if (sent || !isFirst(by, a)) return;
    sent = true;
    replicas[0]!.child.kill(signal);
  };
  const client = async (index: number): Promise<Asked[]> => {
    const streams = index % 2 === 0;
    const body = { max_tokens: 32, ignore_eos: true, ...(streams && { stream: true }) };
    const broken: Asked[] = [];
    for (let after = 0; after < AFTERWARDS; ) {
      const messages = turns([`Tell me a story, number ${index}.`]);
      const answer = await ask(socket, { ...body, messages }, {}, streams ? onBegin : undefined);
      if (answer.status !== 200 || !answer.whole) broken.push(answer);
      if (sent) after++;
    }
    return broken;
  };
  return (await Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(index)))).flat();
}

const isFirst = (by: string, a: string): boolean => by === "a" || by === a;

describe.each(some(GATEWAYS, 1))("two replicas behind $name", (gateway) => {
  const skip = existsSync(gateway.program) ? null : `skipped: ${gateway.program} is not on this machine`;

  it.skipIf(skip !== null)(
    titled("a conversation keeps to its replica, which SIGTERM ends without a loss", skip),
    async () => {
      const running = await start(gateway);
      for (const [name, belongs] of Object.entries(WAYS)) {
        const [by, cached] = await talk(running.socket, name, belongs);
        expect(new Set(by).size, name).toBe(1);
        expect(Math.min(...cached.slice(1)), name).toBeGreaterThan(0.4);
      }
      expect(await underLoad(running, "SIGTERM")).toEqual([]);
    },
  );

  const left = skip ?? leftToCi;
  it.skipIf(left !== null)(titled("one is killed: requests without an answer so far are not lost", left), async () => {
    const running = await start(gateway);
    const { socket, replicas, a } = running;
    const short = (): Promise<Asked> => ask(socket, { messages: turns(["a"]), max_tokens: 1 });
    const broken = await underLoad(running, "SIGKILL");
    expect(broken.filter(({ status, text }) => status !== 200 || !text.startsWith("data: "))).toEqual([]);
    expect(await replicas[0]!.exit).toEqual([null, "SIGKILL"]);
    expect(isFirst((await short()).by, a)).toBe(false);
    // The other is not given up because others use its machine for a while.
    const { child } = replicas[1]!;
    child.kill("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, SILENT_MS));
    const waits = short();
    child.kill("SIGCONT");
    expect((await waits).status).toBe(200);
  });
});
