// The folder that quantize() writes while it is written and after: whose it is, what is resumed,
// what is refused.

import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { open, quantize, verifyQuantized, WeightsError } from "../../src/index.ts";
import { inRepo } from "../support/fixtures.ts";

const disk = vi.hoisted(() => ({ free: null as number | null }));
vi.mock("node:fs/promises", async (original) => {
  const real = await original<typeof import("node:fs/promises")>();
  return {
    ...real,
    statfs: async (path: string) => {
      const found = await real.statfs(path);
      return disk.free === null ? found : { ...found, bsize: 1, bavail: disk.free };
    },
  };
});

const fixture = inRepo("test/fixtures/mixtral/bf16-odd-window-shards");

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "hotset-quantize-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "out");
}

/** A copy of the fixture that a test may change. */
function copied(): string {
  const folder = `${temporary()}-in`;
  cpSync(fixture, folder, { recursive: true });
  return folder;
}

/** Begins to quantize and gives up when `bytes` are written; what is there stays. */
async function begin(from: string, to: string, bytes = 120_000): Promise<void> {
  const controller = new AbortController();
  const onProgress = (done: number): void => {
    if (done >= bytes) controller.abort(new Error("enough"));
  };
  await expect(quantize(from, to, { threads: 1, signal: controller.signal, onProgress })).rejects.toThrow("enough");
}

/** Names and contents of all files. */
function contents(folder: string): Map<string, string> {
  return new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "base64")]));
}

async function whole(): Promise<Map<string, string>> {
  const to = temporary();
  await quantize(fixture, to, { threads: 1 });
  return contents(to);
}

const journal = (folder: string): string => join(folder, "hotset-quantize.journal");

describe("a half-written folder", () => {
  it("is no model, and says what to do", async () => {
    const to = temporary();
    await begin(fixture, to);
    const message = /half-written by `hotset quantize`; run the same command again/;
    await expect(open(to, { backend: "cpu" })).rejects.toThrow(message);
    await expect(verifyQuantized(to)).rejects.toThrow(message);
  });

  it("is completed by the same call, which writes only what is missing", async () => {
    const to = temporary();
    await begin(fixture, to);
    expect(readdirSync(to).filter((name) => name.includes("lock"))).toEqual([]);
    const { bytes, written } = await quantize(fixture, to, { threads: 1 });
    expect(written).toBeGreaterThan(0);
    expect(written).toBeLessThan(bytes);
    expect(contents(to)).toEqual(await whole());
    expect((await quantize(fixture, to, { threads: 1 })).written).toBe(0);
    expect(contents(to)).toEqual(await whole());
  });

  it.each<[string, (to: string) => void]>([
    ["a journal that ends within a line", (to) => truncateSync(journal(to), readFileSync(journal(to)).length - 20)],
    ["a journal with a line that is none", (to) => appendFileSync(journal(to), "null\n{}\n")],
    [
      "bytes that are not those of the journal",
      (to) => {
        const path = join(to, "model-00001-of-00003.safetensors");
        const bytes = readFileSync(path);
        bytes[bytes.length - 3]! ^= 1; // in the last tensor
        writeFileSync(path, bytes);
      },
    ],
    ["a shard that is gone", (to) => rmSync(join(to, "model-00001-of-00003.safetensors"))],
    ["a shard that is too long", (to) => appendFileSync(join(to, "model-00002-of-00003.safetensors"), "x".repeat(1e6))],
    ["what a run left behind that was killed as it began", (to) => writeFileSync(`${journal(to)}.new`, "{")],
  ])("with %s is completed all the same", async (_, damage) => {
    const to = temporary();
    await begin(fixture, to);
    damage(to);
    await quantize(fixture, to, { threads: 1 });
    expect(contents(to)).toEqual(await whole());
  });

  it("is left alone by another job", async () => {
    const from = copied();
    const to = temporary();
    await begin(from, to);
    const before = contents(to);
    await expect(quantize(from, to, { mix: "q6_k" })).rejects.toThrow(
      /with \S+ \(with [^)]+\) weights; this command asks for q6_k/,
    );
    await expect(quantize(inRepo("models/tales"), to)).rejects.toThrow(/of out-in; this command names tales/);
    utimesSync(join(from, "model-00002-of-00003.safetensors"), 1, 1);
    await expect(quantize(from, to)).rejects.toThrow(/sizes or times have changed/);
    expect(contents(to)).toEqual(before);
  });
});

describe("a folder that cannot be written", () => {
  it("holds something else, or another model", async () => {
    const to = temporary();
    mkdirSync(to);
    writeFileSync(join(to, "notes.txt"), "mine");
    await expect(quantize(fixture, to)).rejects.toThrow(/not empty \(it holds notes\.txt\)/);
    expect(readdirSync(to)).toEqual(["notes.txt"]);
    const from = copied();
    await expect(quantize(from, from)).rejects.toThrow(/not empty/);
    const model = temporary();
    await quantize(fixture, model, { threads: 1 });
    await expect(quantize(fixture, model, { weights: "q8" })).rejects.toThrow(
      /holds \S+ \(with [^)]+\) weights of .* already/,
    );
  });

  it("is being written by another process", async () => {
    const to = temporary();
    await begin(fixture, to);
    const lock = join(to, "hotset-quantize.lock");
    const started = (pid: number): string => {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
      return `${boot} ${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`;
    };
    const proc = existsSync(`/proc/${process.pid}/stat`);
    const holder = { pid: process.ppid, started: proc ? started(process.ppid) : null, host: hostname(), id: "x" };
    writeFileSync(lock, JSON.stringify(holder));
    await expect(quantize(fixture, to)).rejects.toThrow(new RegExp(`process ${process.ppid} on .* is writing`));
    writeFileSync(lock, JSON.stringify({ ...holder, host: "elsewhere", pid: 2 ** 30 }));
    await expect(quantize(fixture, to)).rejects.toThrow(/on elsewhere is writing/);
    // A process that is not there any more, and (where the system tells) one of the same number
    // that is another.
    for (const dead of [{ pid: 2 ** 30 }, ...(proc ? [{ started: "boot 1" }] : [])]) {
      writeFileSync(lock, JSON.stringify({ ...holder, ...dead }));
      await begin(fixture, to, 140_000);
      expect(existsSync(lock)).toBe(false);
    }
  });

  it("is written by one of two calls at the same time", async () => {
    const to = temporary();
    const ends = await Promise.allSettled([1, 2, 3].map(() => quantize(fixture, to, { threads: 1 })));
    const reasons = ends.flatMap((end) => (end.status === "rejected" ? [String(end.reason)] : []));
    expect(reasons.length).toBeGreaterThan(0);
    for (const reason of reasons) expect(reason).toMatch(/is writing this folder now/);
    expect(contents(to)).toEqual(await whole());
  });

  it("is on a disk without room: nothing is left", async () => {
    const to = temporary();
    disk.free = 1000;
    onTestFinished(() => {
      disk.free = null;
    });
    await expect(quantize(fixture, to)).rejects.toThrow(/0\.00 GB are still to be written .* name a folder on another/);
    expect(existsSync(to)).toBe(false);
  });

  const full = existsSync("/dev/full") ? "" : " [skipped: this system has no /dev/full]";
  it.skipIf(full !== "")(`is on a disk that becomes full, and is completed when there is room${full}`, async () => {
    const to = temporary();
    await begin(fixture, to, 10_000); // within the first shard
    const shard = join(to, "model-00002-of-00003.safetensors");
    symlinkSync("/dev/full", shard);
    const failure = await quantize(fixture, to, { threads: 1 }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(WeightsError);
    expect(String(failure)).toMatch(
      /00002-of-00003\.safetensors: the disk is full; make room and run the same command/,
    );
    rmSync(shard);
    await quantize(fixture, to, { threads: 1 });
    expect(contents(to)).toEqual(await whole());
  });

  it("is completed when an input that could not be read can be read again", async () => {
    const from = copied();
    const to = temporary();
    const shard = join(from, "model-00003-of-00003.safetensors");
    const bytes = readFileSync(shard);
    const at = bytes.length - 2; // the last weight
    const broken = Buffer.from(bytes);
    broken.writeUInt16LE(0x7f80, at);
    writeFileSync(shard, broken);
    utimesSync(shard, 1, 1);
    await expect(quantize(from, to, { threads: 1 })).rejects.toThrow(/holds Infinity at/);
    expect(existsSync(join(to, "config.json"))).toBe(false);
    writeFileSync(shard, bytes);
    utimesSync(shard, 1, 1);
    renameSync(from, `${from}-moved`);
    renameSync(`${from}-moved`, from);
    await quantize(from, to, { threads: 1 });
    expect(await verifyQuantized(to)).toBeGreaterThan(0);
  });
});

describe("verifyQuantized", () => {
  it("finds a single changed bit wherever it is, and says where", async () => {
    const to = temporary();
    await quantize(fixture, to, { threads: 1 });
    const { files } = JSON.parse(readFileSync(join(to, "hotset-checksums.json"), "utf8")) as {
      files: Record<string, { tensor: string | null; begin: number; end: number }[]>;
    };
    let tried = 0;
    for (const [name, parts] of Object.entries(files)) {
      const path = join(to, name);
      const good = readFileSync(path);
      for (const { tensor, begin, end } of parts) {
        const bad = Buffer.from(good);
        bad[begin + ((17 * ++tried) % (end - begin))]! ^= 1 << (tried % 8);
        writeFileSync(path, bad);
        const what = tensor ?? (parts.length > 1 ? "the header" : "the file");
        await expect(verifyQuantized(to)).rejects.toThrow(
          new RegExp(`${name}: .*${what.replaceAll(".", "\\.")} \\(bytes ${begin} to ${end}\\) is not as it was`),
        );
      }
      writeFileSync(path, good.subarray(1));
      await expect(verifyQuantized(to)).rejects.toThrow(`${name}: expected ${good.length} bytes, found`);
      writeFileSync(path, good);
    }
    expect(tried).toBeGreaterThan(20);
    await verifyQuantized(to);
  });

  it("says that a folder is not of its kind, or that its checksums are damaged", async () => {
    await expect(verifyQuantized(fixture)).rejects.toThrow(/hotset-checksums\.json is missing/);
    const to = temporary();
    await quantize(fixture, to, { threads: 1 });
    for (const text of ["[]", '{"made":{},"files":{"../x":[]}}', '{"made":{},"files":{"x":[{"begin":1,"end":2}]}}']) {
      writeFileSync(join(to, "hotset-checksums.json"), text);
      await expect(verifyQuantized(to)).rejects.toThrow(WeightsError);
    }
  });
});

describe("quantization_config", () => {
  it.each<[unknown, RegExp]>([
    [{ quant_method: "exl2", bits: 4 }, /quant_method "exl2" is not read/],
    [{ quant_method: "hotset", format: 3, weights: "q4" }, /reads format 1 and 2, found 3/],
    [{ quant_method: "hotset", format: 2, weights: "q4" }, /formats: expected an object, found nothing/],
    [{ quant_method: "hotset", format: 2, formats: { layers: [{}] } }, /layers: expected a list of 2, .*, found 1/],
    [
      { quant_method: "hotset", format: 2, formats: { layers: [{ q: "q4", k: "q9" }, {}] } },
      /formats: layers\[0\]: k: expected one of f32, .*, found "q9"/,
    ],
    [{ quant_method: "hotset", format: 1, weights: "q3" }, /expected one of f32, .*, found "q3"/],
    [{ quant_method: "hotset", format: 1, weights: "q8" }, /config\.json asks for shape/],
    ["q4", /quantization_config: expected an object, found "q4"/],
  ])("%j is refused", async (quantization_config, message) => {
    const to = temporary();
    await quantize(fixture, to, { threads: 1 });
    const path = join(to, "config.json");
    const config = JSON.parse(readFileSync(path, "utf8")) as object;
    writeFileSync(path, JSON.stringify({ ...config, quantization_config }));
    await expect(open(to, { backend: "cpu" })).rejects.toThrow(message);
  });
});
