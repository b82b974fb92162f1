import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { request } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { EnvCommand } from "../../src/cli/env_options.ts";
import { addServe } from "../../src/cli/serve.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { PATIENT } from "../support/patience.ts";
import { type Served, scriptedCommand, startCommand, startScripted } from "./served.ts";

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "hotset-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function fileOf(content: unknown): string {
  const path = join(temporary(), "hotset.json");
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

describe("--config", () => {
  it("sets what the command line and the environment leave out", async () => {
    const options = { parallel: 3, queue: 5, backend: "cpu", log: "off", yes: true, drain: null, model: "folder" };
    const args = ["serve", "--port", "0", "--config", fileOf(options), "--queue", "6"];
    const env = { HOTSET_BACKEND: "webgpu" };
    const { until } = startCommand(process.execPath, [inRepo("dist/test/server/serve_host.js"), ...args], env);
    expect(await until(" -d ")).toContain('{"folder":"folder","parallel":3,"queue":6,"backend":"webgpu"}');
  });

  it("is HOTSET_CONFIG, too; lists and objects", async () => {
    const config = fileOf({
      "allow-host": ["llm.example", "*.svc"],
      "chat-template-kwargs": { enable_thinking: false },
      drain: "1m",
    });
    const { url, until } = startScripted("folder", [], { HOTSET_CONFIG: config, HOTSET_MODEL: "other" });
    const base = await url();
    expect(await until(" -d ")).toContain('{"folder":"folder"'); // an argument counts more
    const status = (host: string): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        request(`${base}/v1/models`, { headers: { host } }, (response) => resolve(response.resume().statusCode))
          .on("error", reject)
          .end();
      });
    expect(await Promise.all(["llm.example", "a.svc", "other.example"].map(status))).toEqual([200, 200, 403]);
  });

  it.skipIf(leftToCi)(
    titled("turns off what an option without a value turns off, as the environment does", leftToCi),
    async () => {
      const kept = temporary();
      const counted = async (env: Record<string, string>): Promise<boolean> => {
        const { url, until } = startScripted("folder", [], env);
        await until(" -d ");
        const answer = (await (await fetch(`${await url()}/hotset/activity`)).json()) as { counted?: boolean };
        return answer.counted !== false;
      };
      expect(await counted({ HOTSET_CONFIG: fileOf({ "no-activity": true }) })).toBe(false);
      expect(await counted({ HOTSET_NO_ACTIVITY: "1" })).toBe(false);
      expect(await counted({ HOTSET_ACTIVITY: join(kept, "counts") })).toBe(true);
      expect(readdirSync(join(kept, "counts"))).toHaveLength(1);
    },
  );

  it.each<[string, boolean | string]>([
    ["1", true],
    ["True", true],
    ["false", false],
    ["0", false],
    ["off", false],
    ["", true], // as unset: the file's
    ["maybe", "error: option '--allow-pull' value 'maybe' from env 'HOTSET_ALLOW_PULL' is invalid. Expected true or"],
  ])("a variable of an option without a value: %j", async (value, expected) => {
    vi.stubEnv("HOTSET_ALLOW_PULL", value);
    vi.stubEnv("HOTSET_NO_ACTIVITY", value);
    onTestFinished(() => void vi.unstubAllEnvs());
    const command = new EnvCommand("serve").exitOverride().configureOutput({ writeErr() {} });
    command.option("--allow-pull").option("--no-activity");
    if (typeof expected === "string") {
      expect(() => command.parse([], { from: "user" })).toThrow(expected);
      return;
    }
    command.parse([], { from: "user" });
    await command.readConfig(fileOf({ "allow-pull": true, "no-activity": true }));
    expect(command.opts()).toMatchObject({ activity: !expected });
    expect(command.opts().allowPull ?? false).toBe(expected);
    if (value !== "false") return;
    command.parse(["--allow-pull"], { from: "user" }); // the command line counts more
    expect(command.opts().allowPull).toBe(true);
  });

  it.each<[unknown, RegExp]>([
    ["{", /expected JSON/],
    [[], /expected an object of options/],
    [{ prot: 1 }, /there is no option "prot"; did you mean "port"\?/],
    [{ readyQueue: 1 }, /there is no option "readyQueue"; did you mean "ready-queue"\?/],
    [{ frobnicate: 1 }, /there is no option "frobnicate"$/m],
    [{ config: "x" }, /there is no option "config"/],
    [{ parallel: "many" }, /parallel: Expected an integer/],
    [{ parallel: true }, /parallel: expected a text or a number, found true/],
    [{ parallel: [1, 2] }, /parallel: expected one value, found an array/],
    [{ yes: "y" }, /yes: expected true or false/],
    [{ log: "yaml" }, /log: Allowed choices are text, json, off/],
    [{ cors: ["app.example"] }, /cors: Expected an origin/],
  ])("%j is refused", async (content, message) => {
    const path = fileOf(content);
    const program = new Command("hotset").exitOverride().configureOutput({ writeErr() {} });
    addServe(program, () => Promise.reject(new Error("opened")));
    const run = program.parseAsync(["serve", "folder", "--config", path], { from: "user" });
    const refused = await run.catch((error: Error) => error);
    expect(refused).toBeInstanceOf(CommanderError);
    expect((refused as Error).message).toMatch(message);
    expect((refused as Error).message).toContain(`--config ${path}: `);
  });

  const misspelt = "a variable that looks misspelt is told; one that cannot be an option is not";
  it.skipIf(leftToCi)(titled(misspelt, leftToCi), async () => {
    const env = { HOTSET_PARALEL: "3", HOTSET_SERVICE_HOST: "10.0.0.1", HOTSET_PORT_8080_TCP: "tcp://10.0.0.1:8080" };
    const { until } = startScripted("folder", [], env);
    const said = await until("ready", "stderr");
    expect(said.match(/ warning .*$/gm)).toEqual([
      ' warning "HOTSET_PARALEL is no option; did you mean HOTSET_PARALLEL?"',
    ]);
  });
});

describe("--api-key-file and SIGHUP", () => {
  it("reads the file again; one that is wrong changes nothing", async () => {
    const file = join(temporary(), "keys");
    writeFileSync(file, "old\n");
    const { child, url, until } = startScripted("folder", ["--api-key-file", file]);
    const base = await url();
    await until(" -d ");
    const status = async (key: string) => (await fetch(`${base}/v1/models`, { headers: { "x-api-key": key } })).status;
    expect(await Promise.all(["old", "new"].map(status))).toEqual([200, 401]);
    writeFileSync(file, "old\nnew\n");
    child.kill("SIGHUP");
    await until("keys count=2", "stderr");
    expect(await Promise.all(["old", "new"].map(status))).toEqual([200, 200]);
    writeFileSync(file, "\n");
    child.kill("SIGHUP");
    await until(/warning .*found none; the keys from before stay valid/, "stderr");
    expect(await Promise.all(["old", "new", ""].map(status))).toEqual([200, 200, 401]);
  });

  it.skipIf(leftToCi)(
    titled("without a file SIGHUP ends the server, as it ends other programs", leftToCi),
    async () => {
      const { child, until, exit } = startScripted("folder");
      await until(" -d ");
      child.kill("SIGHUP");
      expect(await exit).toEqual([null, "SIGHUP"]);
    },
  );
});

/** The status of a request through a Unix socket. */
const get = (socketPath: string, path: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    request({ socketPath, path }, (response) => resolve(response.resume().statusCode))
      .on("error", reject)
      .end();
  });

describe("a socket that systemd listens on", () => {
  /**
   * Starts a server to which a listening socket is handed as descriptor 3, as systemd does. The
   * socket is closed here, so that only the server accepts its connections.
   */
  function activated(listening: Server, env: string): Served {
    const { fd } = Reflect.get(listening, "_handle") as { readonly fd: number };
    const [command, ...args] = scriptedCommand("folder", ["--port", "1", "--drain", "0"]);
    const served = startCommand("sh", ["-c", `${env} exec "$@"`, "sh", command, ...args], {}, fd);
    listening.close();
    return served;
  }
  const listensAt = async (...where: [port: number, host: string] | [path: string]): Promise<Server> => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(...(where as [number, string]), resolve));
    return server;
  };
  const HANDED = "LISTEN_PID=$$ LISTEN_FDS=1";

  it("is taken in place of --host and --port", async () => {
    const listening = await listensAt(0, "127.0.0.1");
    const { port } = listening.address() as AddressInfo;
    const { child, until, exit } = activated(listening, HANDED);
    expect(await until(" -d ")).toContain(`http://127.0.0.1:${port}/v1`);
    expect((await fetch(`http://127.0.0.1:${port}/v1/models`)).status).toBe(200);
    child.kill("SIGTERM");
    expect(await exit).toEqual([0, null]);
  });

  it.skipIf(leftToCi)(
    titled("may be a Unix socket, whose path the server does not know and leaves where it is", leftToCi),
    async () => {
      const path = join(temporary(), "hotset.sock");
      const listening = await listensAt(`${path}.new`);
      renameSync(`${path}.new`, path); // Node removes the path that it has listened on
      const { child, until, exit } = activated(listening, HANDED);
      expect(await until(" -d ")).toContain("curl --unix-socket <its path> http://localhost/v1/chat/completions");
      expect(await get(path, "/v1/models")).toBe(200);
      child.kill("SIGTERM");
      expect(await exit).toEqual([0, null]);
      expect(existsSync(path)).toBe(true);
    },
  );

  it.each([
    [
      "LISTEN_PID=1 LISTEN_FDS=1",
      "of another process is left alone",
      /address=127\.0\.0\.1:1 |not listen on 127\.0\.0\.1:1;/,
    ],
    [
      "LISTEN_PID=$$ LISTEN_FDS=2",
      "is one of several: refused",
      /expected one socket, found 2; leave one ListenStream=/,
    ],
  ])("%s: %s", async (env, _, said) => {
    await activated(await listensAt(0, "127.0.0.1"), env).until(said, "stderr");
  });

  it.skipIf(leftToCi)(titled("that does not listen for streams is named", leftToCi), async () => {
    const served = startCommand("sh", [
      ...["-c", `${HANDED} exec "$@" 3</dev/null`, "sh"],
      ...scriptedCommand("folder", []),
    ]);
    await served.until("descriptor 3: expected a socket that listens for streams", "stderr");
  });
});

describe("a Unix socket", () => {
  it("is listened on, and removed at the end; the printed command names it", async () => {
    const path = join(temporary(), "hotset.sock");
    const { child, until, exit } = startScripted("folder", ["--host", `unix:${path}`, "--drain", "0"]);
    expect(await until(" -d ")).toContain(`curl --unix-socket ${path} http://localhost/v1/chat/completions -H`);
    expect(await until("ready", "stderr")).toContain(`listening address=unix:${path} `);
    expect(await get(path, "/v1/models")).toBe(200);
    child.kill("SIGTERM");
    expect(await exit).toEqual([0, null]);
    expect(existsSync(path)).toBe(false);
  });

  it.skipIf(leftToCi)(
    titled("that a killed server left is taken over; one in use and other files are not", leftToCi),
    async () => {
      const folder = temporary();
      const path = join(folder, "hotset.sock");
      const first = startScripted("folder", ["--host", `unix:${path}`]);
      await first.until(" -d ");
      const second = startScripted("folder", ["--host", `unix:${path}`]);
      await second.until(/is in use by another program/, "stderr");
      first.child.kill("SIGKILL");
      await first.exit;
      expect(existsSync(path)).toBe(true);
      const third = startScripted("folder", ["--host", `unix:${path}`]);
      await third.until(" -d ");
      expect(await get(path, "/livez")).toBe(200);
      const file = join(folder, "file");
      writeFileSync(file, "precious");
      await startScripted("folder", ["--host", `unix:${file}`]).until(/is no socket/, "stderr");
      expect(readFileSync(file, "utf8")).toBe("precious");
    },
  );
});

describe("systemd", () => {
  it("is told when the model is loaded and when the server stops, if it asks", async () => {
    const folder = temporary();
    const told = join(folder, "told");
    writeFileSync(join(folder, "systemd-notify"), `#!/bin/sh\nprintf '%s\\n' "$@" >> '${told}'\n`);
    chmodSync(join(folder, "systemd-notify"), 0o755);
    const env = { NOTIFY_SOCKET: "/run/systemd/notify", PATH: `${folder}:${process.env.PATH}` };
    const { child, until, exit } = startScripted("slow", ["--drain", "0"], env);
    const seen = (): string[] => (existsSync(told) ? readFileSync(told, "utf8").trimEnd().split("\n") : []);
    await until('"folder":"slow"');
    expect(seen()).toEqual([]);
    child.stdin!.write("go");
    await expect.poll(seen, PATIENT).toEqual(["READY=1", expect.stringMatching(/^STATUS=fake-mixtral at 127/)]);
    child.kill("SIGTERM");
    expect(await exit).toEqual([0, null]);
    await expect.poll(seen, PATIENT).toContain("STOPPING=1");
  });

  it.skipIf(leftToCi)(titled("and where it cannot be told, the server says so and goes on", leftToCi), async () => {
    const env = { NOTIFY_SOCKET: "/run/systemd/notify", PATH: "/no/such/folder" };
    const host = [inRepo("dist/test/server/serve_host.js"), "serve", "folder", "--port", "0"];
    const { url, until } = startCommand(process.execPath, host, env);
    const base = await url();
    await until(/warning .*systemd was not told READY=1: /, "stderr");
    expect((await fetch(`${base}/readyz`)).status).toBe(200);
  });
});
