// The commands that download, list and remove models, as a newcomer and a killer run them.

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { hotset, root, tales } from "../support/cli.ts";
import { titled } from "../support/fixtures.ts";
import { type Faults, type HubRepo, hubServer } from "../support/hub_server.ts";
import { leftToCi } from "../support/level.ts";
import { generator } from "../support/random.ts";

const talesFiles = (): Record<string, Uint8Array> =>
  Object.fromEntries(readdirSync(join(root, tales)).map((name) => [name, readFileSync(join(root, tales, name))]));

async function hub(repos: Record<string, HubRepo>, faults: Faults = {}) {
  const server = await hubServer(repos, faults);
  const home = mkdtempSync(join(tmpdir(), "hotset-hub-"));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
  const env = { HF_ENDPOINT: server.endpoint, HF_HOME: home, HF_TOKEN: "", HF_HUB_CACHE: "", HF_HUB_OFFLINE: "" };
  return { server, env, home };
}

const KILLS = 10;

describe("models of the hub", () => {
  it("a newcomer chats with a model by its name: one command", async () => {
    const { server, env } = await hub({ "acme/tales": { files: talesFiles() } });
    const ask = ["chat", "acme/tales", "--backend", "cpu", "-n", "8", "--temperature", "0"];
    const refused = await hotset(ask, "Hello", env);
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toMatch(/^hotset: acme\/tales: expected a folder, .*`hotset pull acme\/tales`[^\n]*\n$/);
    const first = await hotset([...ask, "--yes"], "Hello", env);
    expect(first.code).toBe(0);
    expect(first.stdout.trim().length).toBeGreaterThan(5);
    const requests = server.log.length;
    const again = await hotset([...ask.map((word) => word.replace("acme", "hf:acme"))], "Hello", env);
    expect(again).toMatchObject({ code: 0, stdout: first.stdout });
    expect(server.log.length).toBe(requests); // the hub is not asked again

    const list = await hotset(["list"], "", env);
    expect(list.stdout).toMatch(/^NAME +SIZE +REVISION +MODIFIED\nacme\/tales +[\d.]+ MB +main +\d{4}-\d\d-\d\d\n$/);
    const show = await hotset(["show", "acme/tales"], "", env);
    expect(show.stdout).toMatch(/models--acme--tales[\s\S]*architecture +mixtral/);
    expect(await hotset(["rm", "acme/tales"], "", env)).toMatchObject({ code: 1, stderr: /--yes/ });
    const removed = await hotset(["rm", "acme/tales", "--yes"], "", env);
    expect(removed.stdout).toMatch(/^removed acme\/tales: [\d.]+ MB are free again\n$/);
    expect((await hotset(["list"], "", env)).stdout).toBe("NAME  SIZE  REVISION  MODIFIED\n");
  });

  it("an unknown name is one line", async () => {
    const { env } = await hub({});
    const { code, stderr } = await hotset(["generate", "acme/none", "-p", "a", "--yes"], "", env);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(
        /^hotset: acme\/none: no such file or folder, and [\d.:]+ has no model acme\/none;[^\n]*\n$/,
      ),
    });
  });

  const killed = `a pull that is killed ${KILLS} times gives the same bytes`;
  it.skipIf(leftToCi)(titled(killed, leftToCi), async () => {
    const next = generator(7);
    const weights = Uint8Array.from({ length: 6_000_000 }, () => next() * 256);
    const repo = { files: { "m.gguf": weights } };
    const { server, env, home } = await hub({ "acme/big": repo }, { rate: 2_000_000 });
    const code = `const { pull } = await import("./dist/src/hub/node_pull.js");
      const { path } = await pull("acme/big", { onProgress: (done) => console.log(done) });
      console.log("at " + path);`;
    /** Runs a pull; kills it once it has told so many bytes more than at first. */
    const run = (bytes: number): Promise<string> =>
      new Promise((resolve) => {
        const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
          cwd: root,
          env: { ...process.env, ...env },
        });
        let out = "";
        child.stdout.on("data", (chunk) => {
          out += chunk;
          const told = out.split("\n").slice(0, -1).map(Number);
          if (told.at(-1)! - told[0]! >= bytes) child.kill("SIGKILL");
        });
        child.on("close", () => resolve(out));
      });
    const starts: number[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const out = await run(Math.floor(next() * 200_000));
      expect(out).not.toContain("at ");
      starts.push(Number.parseInt(out, 10));
    }
    server.faults.rate = 50_000_000;
    const path = /^at (.*)$/m.exec(await run(Number.POSITIVE_INFINITY))?.[1];
    expect(Buffer.compare(readFileSync(path!), weights)).toBe(0);
    // Each goes on where the one before was, but for its last moment.
    expect(starts[0]).toBe(0);
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
    expect(starts.at(-1)).toBeGreaterThan(KILLS * 10_000);
    expect(readdirSync(join(home, "hub", "models--acme--big", "blobs"))).toHaveLength(1);
  });
});
