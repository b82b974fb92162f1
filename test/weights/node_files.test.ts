import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, open, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import type { Files } from "../../src/weights/files.ts";
import { nodeFiles, nodeFolderOrFile } from "../../src/weights/node_files.ts";
import { readSafetensorsHeader } from "../../src/weights/safetensors.ts";
import { safetensorsSource } from "../../src/weights/source.ts";
import { rawFile } from "./memory_files.ts";

const PAGE = 4096;

let root: string;
let folder: string;
let files: Files;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "hotset-files-"));
  folder = join(root, "model");
  await mkdir(join(folder, "sub"), { recursive: true });
  await writeFile(join(root, "outside"), "outside");
  await writeFile(join(folder, "a.txt"), "0123456789");
  files = await nodeFiles(folder);
});

afterAll(async () => {
  await files.close();
  await rm(root, { recursive: true });
});

const readText = async (from: Files, name: string, offset: number, size: number): Promise<string> => {
  const into = new Uint8Array(size);
  await from.read(name, offset, into);
  return new TextDecoder().decode(into);
};

describe("a folder on disk", () => {
  it("lists, measures and reads files", async () => {
    expect(await files.list()).toContain("a.txt");
    expect(await files.list()).not.toContain("sub");
    expect(await files.size("a.txt")).toBe(10);
    expect(await files.size("b.txt")).toBeNull();
    expect(await readText(files, "a.txt", 3, 4)).toBe("3456");
    expect(await readText(files, "a.txt", 0, 10)).toBe("0123456789");
  });

  it("reads into shared memory too", async () => {
    const into = new Uint8Array(new SharedArrayBuffer(8), 2, 4);
    await files.read("a.txt", 1, into);
    expect([...into]).toEqual([49, 50, 51, 52]);
  });

  it.each([
    "../outside",
    "sub/../../outside",
    "sub//x",
    "/etc/hostname",
    "..",
    ".",
    "",
    "sub/",
    "sub\\x",
    "a.txt\0",
    "C:x",
  ])("refuses %j, which is not the name of a file in it", async (name) => {
    await expect(files.size(name)).rejects.toThrow(WeightsError);
    await expect(files.read(name, 0, new Uint8Array(1))).rejects.toThrow("name of a file in this folder");
  });

  it.each([
    ["whole pages into pages", 0, 2 * PAGE, 0],
    ["a page in the middle", PAGE, PAGE, 3 * PAGE],
    ["from the middle of a page", 100, PAGE, 0],
    ["part of a page", 0, 100, 0],
    ["into the middle of a page", 0, PAGE, 64],
    ["the end, which is no whole page", PAGE, PAGE + 10, 0],
  ])("reads past the page cache where it can, and the same bytes where it cannot: %s", async (_, offset, size, to) => {
    const bytes = Uint8Array.from({ length: 2 * PAGE + 10 }, (_, i) => (i * 31 + (i >> 8)) % 251);
    await writeFile(join(folder, "pages"), bytes);
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    for (const [kind, buffer] of [
      ["memory", memory.buffer],
      ["array", new ArrayBuffer(65536)],
    ] as const) {
      const into = new Uint8Array(buffer, to, size);
      await files.read("pages", offset, into, true);
      expect([...into], kind).toEqual([...bytes.subarray(offset, offset + size)]);
    }
  });

  it.each([
    ["from the middle of a page", 100, PAGE, 100],
    ["behind other memory", PAGE + 100, 20, 3 * PAGE + 100],
    ["to the end, which is no whole page", PAGE + 32, PAGE - 22, 32],
    ["where the memory ends too early for whole pages", 100, PAGE, 16 * PAGE - PAGE + 100 - PAGE],
    ["with offsets that differ", 100, PAGE, 64],
  ])("may fill the pages around the bytes asked for, and no others: %s", async (_, offset, size, to) => {
    const bytes = Uint8Array.from({ length: 2 * PAGE + 10 }, (_, i) => (i * 31 + (i >> 8)) % 251);
    await writeFile(join(folder, "pages"), bytes);
    const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const all = new Uint8Array(buffer).fill(0xee);
    await files.read("pages", offset, all.subarray(to, to + size), "pages");
    expect([...all.subarray(to, to + size)]).toEqual([...bytes.subarray(offset, offset + size)]);
    const begin = to - (to % PAGE);
    const end = Math.ceil((to + size) / PAGE) * PAGE;
    for (const rest of [all.subarray(0, begin), all.subarray(end)])
      expect(rest.every((byte) => byte === 0xee)).toBe(true);
  });

  it("says where a file ends, past the page cache too", async () => {
    await writeFile(join(folder, "short"), new Uint8Array(PAGE));
    const into = new Uint8Array(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer);
    await expect(files.read("short", 0, into.subarray(0, 2 * PAGE), true)).rejects.toThrow(/ends at byte 4096/);
    await expect(files.read("missing", 0, into.subarray(0, PAGE), true)).rejects.toThrow(/missing: no such file/);
  });

  it("follows a link to a file elsewhere, as the hub's cache has them", async () => {
    const snapshot = join(root, "snapshots", "abc");
    await mkdir(snapshot, { recursive: true });
    await mkdir(join(root, "blobs"));
    await writeFile(join(root, "blobs", "0f"), "blob");
    await symlink("../../blobs/0f", join(snapshot, "model.safetensors"));
    const cache = await nodeFiles(snapshot);
    expect(await readText(cache, "model.safetensors", 0, 4)).toBe("blob");
    await cache.close();
  });

  it("says of a link that leads nowhere where it leads", async () => {
    await symlink("../../blobs/gone", join(folder, "gone.safetensors"));
    await expect(files.size("gone.safetensors")).rejects.toThrow(
      /gone\.safetensors is a link to \.\.\/\.\.\/blobs\/gone, which is not there: download the file again/,
    );
    await symlink("nowhere", join(root, "link"));
    await expect(nodeFiles(join(root, "link"))).rejects.toThrow(/found a link to nowhere, which is not there/);
  });

  it("reads and lists files of a subfolder", async () => {
    await mkdir(join(folder, "inner"));
    await writeFile(join(folder, "inner", "x.txt"), "inside");
    expect(await files.list("inner")).toEqual(["x.txt"]);
    expect(await files.list("none")).toEqual([]);
    expect(await readText(files, "inner/x.txt", 2, 4)).toBe("side");
  });

  it.each([
    ["the outer folder of a model in the hub's cache", "models--a--b/snapshots/0f", "models--a--b"],
    ["the folder of its snapshots", "models--c--d/snapshots/0f", "models--c--d/snapshots"],
    ["the whole cache", "hub/models--a--b/snapshots/0f", "hub"],
    ["a publisher's folder", "publisher/model", "publisher"],
    ["one around a GGUF file", "models--e--f/snapshots/0f", "models--e--f", "m.gguf"],
  ])("names the folder that is meant for %s", async (_, inner, outer, file = "config.json") => {
    await mkdir(join(root, inner), { recursive: true });
    await mkdir(join(root, outer, "refs"), { recursive: true });
    await writeFile(join(root, inner, file), "{}");
    await expect(nodeFiles(join(root, outer))).rejects.toThrow(`found a folder around one; open ${join(root, inner)}`);
  });

  it("says where a file ends before the bytes asked for", async () => {
    await expect(readText(files, "a.txt", 8, 4)).rejects.toThrow(/a\.txt ends at byte 10; bytes up to 12/);
    await expect(readText(files, "b.txt", 0, 1)).rejects.toThrow("no such file");
  });

  it("notices a file cut short after it was opened", async () => {
    await writeFile(join(folder, "cut"), new Uint8Array(100));
    await files.read("cut", 0, new Uint8Array(100));
    await truncate(join(folder, "cut"), 60);
    await expect(files.read("cut", 50, new Uint8Array(20))).rejects.toThrow(/ends at byte 60/);
  });

  it("refuses folders and pipes as files, without waiting for them", async () => {
    execFileSync("mkfifo", [join(folder, "pipe")]);
    for (const name of ["sub", "pipe"]) {
      await expect(files.size(name)).rejects.toThrow("expected a file");
      await expect(files.read(name, 0, new Uint8Array(1))).rejects.toThrow("expected a file");
    }
  });

  it("can be closed twice, and after a failed open", async () => {
    const other = await nodeFiles(folder);
    await readText(other, "a.txt", 0, 1);
    await expect(readText(other, "b.txt", 0, 1)).rejects.toThrow(WeightsError);
    await other.close();
    await other.close();
  });
});

describe("a path given by a person", () => {
  it.each([
    ["gone", "found nothing"],
    ["model/a.txt", "found file"],
    ["model/a.txt/x", "found nothing"],
  ])("%s is no folder: %s", async (path, text) => {
    await expect(nodeFiles(join(root, path))).rejects.toThrow(WeightsError);
    await expect(nodeFiles(join(root, path))).rejects.toThrow(text);
  });

  it("may be a file, which is seen alone", async () => {
    const { files: alone, file } = await nodeFolderOrFile(join(folder, "a.txt"));
    expect([file, await alone.list()]).toEqual(["a.txt", ["a.txt"]]);
    expect(await readText(alone, "a.txt", 0, 2)).toBe("01");
    await alone.close();
    expect((await nodeFolderOrFile(folder)).file).toBeNull();
  });
});

describe("files beyond 2 GiB and 4 GiB", () => {
  // Sparse: they take no room. One tensor of U8 fills the file up to the one that is read, in its
  // last bytes.
  it.each([2 ** 31 + 6, 2 ** 32 + 6])("reads the tensor behind byte %d", async (filler) => {
    const name = `big-${filler}.safetensors`;
    const header = JSON.stringify({
      filler: { dtype: "U8", shape: [filler], data_offsets: [0, filler] },
      last: { dtype: "F32", shape: [2, 2], data_offsets: [filler, filler + 16] },
    });
    const start = rawFile(header);
    const handle = await open(join(folder, name), "w");
    await handle.write(start);
    await handle.write(new Uint8Array(Float32Array.of(1, -2, 3.5, 4).buffer), 0, 16, start.length + filler);
    await handle.close();
    const source = safetensorsSource(files, [await readSafetensorsHeader(files, name)]);
    const rows = new Float32Array(2);
    await source.matrix("last").readRows(1, 1, rows);
    expect([...rows]).toEqual([3.5, 4]);
    await rm(join(folder, name));
  });

  it("names the bytes that are missing when such a file is cut", async () => {
    const size = 2 ** 32 + 100;
    const header = rawFile(JSON.stringify({ a: { dtype: "U8", shape: [size], data_offsets: [0, size] } }));
    await writeFile(join(folder, "cut-big"), header);
    await truncate(join(folder, "cut-big"), 2 ** 32);
    await expect(readSafetensorsHeader(files, "cut-big")).rejects.toThrow(`${header.length + 100} are missing`);
    await rm(join(folder, "cut-big"));
  });
});
