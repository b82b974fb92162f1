// Reads past the page cache at any offset: what the file sees is aligned, what the caller gets is
// what was asked for.

import { mkdtempSync, rmSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { decoderGguf } from "../../bench/peers/decoder_gguf.ts";
import { writeGguf } from "../../bench/peers/gguf.ts";
import { openWeights } from "../../bench/weights.ts";
import { FORMATS } from "../../kernels/formats/index.ts";
import { bindSources, readArchitecture } from "../../src/model/families/index.ts";
import { expertLayers, keep } from "../../src/model/formats.ts";
import type { Bypass } from "../../src/tensor/types.ts";
import type { Files } from "../../src/weights/files.ts";
import { DISK_PAGE as PAGE } from "../../src/weights/files.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { DirectReader } from "../../src/weights/node_direct.ts";
import { nodeFolderOrFile } from "../../src/weights/node_files.ts";
import { cpuOps } from "../support/cpu.ts";

const BYTES = Uint8Array.from({ length: 5 * PAGE + 10 }, (_, i) => (i * 31 + (i >> 8)) % 251);

/** A file that takes aligned reads only, as O_DIRECT does, and keeps where they went. */
function fileOf(bytes: Uint8Array) {
  const targets: ArrayBufferLike[] = [];
  const handle = {
    async read(into: Uint8Array, at: number, length: number, position: number) {
      if ([into.byteOffset + at, length, position].some((value) => value % PAGE !== 0)) throw new Error("EINVAL");
      targets.push(into.buffer);
      await new Promise((resolve) => setTimeout(resolve, 1));
      const own = bytes.subarray(position, position + length);
      into.set(own, at);
      return { bytesRead: own.length };
    },
  };
  return { handle: handle as unknown as FileHandle, targets };
}

it.each([
  ["from the middle of a page", 100, 2 * PAGE],
  ["less than a page", PAGE + 7, 20],
  ["whole pages", PAGE, 2 * PAGE],
  ["to the end, which is no whole page", 3 * PAGE + 1, 2 * PAGE + 9],
])("reads whole pages and gives their part: %s", async (_, offset, size) => {
  const into = new Uint8Array(size + 2);
  const { handle } = fileOf(BYTES);
  expect(await new DirectReader().read(handle, offset, into.subarray(1, size + 1))).toBe(true);
  expect([...into]).toEqual([0, ...BYTES.subarray(offset, offset + size), 0]);
});

it("goes on after reads for which there was no memory", async () => {
  const reader = new DirectReader();
  const full = vi.spyOn(WebAssembly, "Memory").mockImplementation(() => {
    throw new RangeError("could not allocate memory");
  });
  onTestFinished(() => full.mockRestore());
  const { handle } = fileOf(BYTES);
  const all = Array.from({ length: 9 }, () => reader.read(handle, 1, new Uint8Array(PAGE)));
  expect(await Promise.all(all)).toEqual(new Array(9).fill(false));
  full.mockRestore();
  expect(await reader.read(handle, 1, new Uint8Array(PAGE))).toBe(true);
});

it("leaves the memory as it was where a read fails or the file is too short", async () => {
  const into = new Uint8Array(PAGE);
  const broken = { read: () => Promise.reject(new Error("EINVAL")) } as unknown as FileHandle;
  expect(await new DirectReader().read(broken, 1, into)).toBe(false);
  expect(await new DirectReader().read(fileOf(BYTES).handle, 5 * PAGE, into)).toBe(false);
  expect(into.every((byte) => byte === 0)).toBe(true);
});

it("uses four memories for any number of reads, and none for two at once", async () => {
  const reader = new DirectReader();
  const { handle, targets } = fileOf(BYTES);
  const into = Array.from({ length: 10 }, () => new Uint8Array(PAGE));
  expect(await Promise.all(into.map((bytes, i) => reader.read(handle, i, bytes)))).not.toContain(false);
  for (const [i, bytes] of into.entries()) expect([...bytes]).toEqual([...BYTES.subarray(i, i + PAGE)]);
  expect(new Set(targets.slice(0, 4)).size).toBe(4);
  expect(new Set(targets).size).toBe(4);
});

it.each([
  [2 ** 18 - 1, false],
  [2 ** 18, true],
  [2 ** 26, true],
  [2 ** 26 + 1, false],
])("takes %d bytes: %s", (bytes, takes) => {
  expect(new DirectReader().takes(bytes)).toBe(takes);
});

it("is what an expert of a GGUF file is read by, if asked for, with the same bytes", async () => {
  const folder = mkdtempSync(join(tmpdir(), "hotset-direct-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const sizes = "hidden_size=512&intermediate_size=2048&num_attention_heads=4&num_key_value_heads=2&vocab_size=300";
  const { architecture, sources } = await openWeights(`synthetic:mixtral-8x7b?layers=1&${sizes}`);
  await writeGguf(join(folder, "m.gguf"), decoderGguf(architecture, sources));
  const { files, file } = await nodeFolderOrFile(join(folder, "m.gguf"));
  const ways: Bypass[] = [];
  const watched: Files = {
    label: files.label,
    list: (subfolder) => files.list(subfolder),
    size: (name) => files.size(name),
    close: () => files.close(),
    read(name, offset, into, bypass = false) {
      ways.push(bypass);
      return files.read(name, offset, into, bypass);
    },
  };
  const opened = await openFolder(watched, file);
  onTestFinished(() => opened.close());
  const bound = bindSources(readArchitecture(opened.config, "m"), opened.source);
  const [{ shape, experts }] = expertLayers(bound, keep(FORMATS.f32)) as [ReturnType<typeof expertLayers>[number]];
  const ops = await cpuOps({ maxTokens: 1 });
  onTestFinished(() => ops.close());
  const slots = await ops.expertSlots!(shape, 2);
  ways.length = 0;
  for (const [slot, bypass] of [false, true].entries()) {
    await slots.convert(experts[3]!, slot, { bypass });
    expect(new Set(ways.splice(0))).toEqual(new Set([bypass && "pages"]));
  }
  expect(Buffer.compare(slots.slot(0), slots.slot(1))).toBe(0);
});
