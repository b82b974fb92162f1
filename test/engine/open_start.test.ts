// What open() does at once: threads of the CPU backend start before files have been looked at, and
// end where there is no model.

import { describe, expect, it } from "vitest";
import { startNodeWorker } from "../../src/backend/cpu/node_threads.ts";
import { openChat } from "../../src/chat/conventions.ts";
import type { OpenOptions } from "../../src/engine/api.ts";
import type { Opened } from "../../src/weights/files.ts";
import { nodeFolderOrFile } from "../../src/weights/node_files.ts";
import { openModel, type Platform } from "../../src/wiring/open.ts";
import { inRepo } from "../support/fixtures.ts";

/** A platform that notes what happens, and how many threads there are. */
function watched(files: (where: string) => Promise<Opened>) {
  const events: string[] = [];
  const seen = { events, threads: 0 };
  const platform: Platform = {
    async files(where) {
      events.push("files");
      return files(where);
    },
    startWorker() {
      events.push("thread");
      seen.threads++;
      const worker = startNodeWorker();
      const stop = (): void => {
        seen.threads--;
        worker.stop();
      };
      return { ...worker, stop };
    },
    async gpu() {
      events.push("gpu");
      return null;
    },
    ...{ mayHaveGpu: true, ram: 2 ** 30, cpuName: "", cores: 2, chat: openChat },
    ...{ tuning: { read: async () => null, write: async () => {} }, spill: () => null, identity: (where) => where },
  };
  return { seen, platform };
}

const options: OpenOptions = { backend: "cpu", weights: "q4", context: 64, threads: 3 };
const tales = inRepo("models/tales");

describe("the threads of the CPU backend", () => {
  it("start while files are looked at, and compute", async () => {
    let go = (): void => {};
    const looked = new Promise<void>((resolve) => {
      go = resolve;
    });
    const { seen, platform } = watched(async (where) => {
      await looked;
      return nodeFolderOrFile(where);
    });
    const start = platform.startWorker;
    const opening = openModel(tales, options, {
      ...platform,
      startWorker() {
        go(); // never, if threads came after files
        return start();
      },
    });
    const model = await opening;
    expect(seen.events).toEqual(["files", "thread", "thread"]);
    expect(model.stats().backend).toMatchObject({ backend: "cpu", threads: 3 });
    await model.close();
    expect(seen.threads).toBe(0);
  });

  it.each<[string, string, Partial<OpenOptions>]>([
    ["there are no weights", inRepo("test"), {}],
    ["the model does not fit", tales, { ram: 2 ** 20 }],
    ["there is no such model", "synthetic:nothing", {}],
  ])("end where %s", async (_, where, other) => {
    const { seen, platform } = watched(nodeFolderOrFile);
    await expect(openModel(where, { ...options, ...other }, platform)).rejects.toThrow();
    expect(seen.threads).toBe(0);
  });

  it("do not start before it is known that no GPU computes", async () => {
    const { seen, platform } = watched(nodeFolderOrFile);
    const model = await openModel(tales, { ...options, backend: "auto" }, platform);
    expect(seen.events).toEqual(["files", "gpu", "thread", "thread"]);
    await model.close();
    expect(seen.threads).toBe(0);
  });
});
