import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import { addInspect } from "../../src/cli/inspect.ts";
import { WeightsError } from "../../src/errors.ts";
import { f32, rawFile, tensorFile } from "./memory_files.ts";

const tales = fileURLToPath(new URL("../../models/tales", import.meta.url));
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "hotset-inspect-"));
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => {
  vi.restoreAllMocks();
});

/** Runs the command; gives what it wrote to stdout and the error that main.ts would report. */
async function run(...args: string[]): Promise<{ out: string; error: unknown }> {
  let out = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    out += String(text);
    return true;
  });
  const program = new Command("hotset").exitOverride();
  addInspect(program);
  const error = await program.parseAsync(["inspect", ...args], { from: "user" }).then(
    () => null,
    (e: unknown) => e,
  );
  vi.restoreAllMocks();
  return { out, error };
}

it("prints a folder as text", async () => {
  const { out, error } = await run(tales);
  expect(error).toBeNull();
  expect(out).toContain("mixtral, hidden_size 256");
  expect(out).toMatch(/parameters +19,807,488 total, 7,421,184 active per token/);
  expect(out).toMatch(/tensors +189 BF16, 19,807,488 elements, 37\.8 MiB/);
  expect(out).toMatch(/chat template +none/);
});

it("prints one JSON object", async () => {
  const { out, error } = await run("--json", tales);
  expect(error).toBeNull();
  expect(JSON.parse(out)).toMatchObject({ kind: "folder", files: 1, problem: null, tokenizer: "tokenizer.json (BPE)" });
});

it("prints what a folder holds that cannot be run, and fails with the reason", async () => {
  await writeFile(join(folder, "config.json"), '{"model_type":"llama"}');
  await writeFile(join(folder, "model.safetensors"), tensorFile({ a: f32(1) }));
  const { out, error } = await run("--json", folder);
  expect(JSON.parse(out)).toMatchObject({ architecture: null, dtypes: [{ dtype: "F32", tensors: 1 }] });
  expect(error).toBeInstanceOf(WeightsError);
  expect((error as Error).message).toContain('"mixtral"');
  expect((await run(folder)).out).toMatch(/tensors +1 F32, 1 elements, 4 bytes/);
});

it("prints a file's tensors and metadata, without what could steer a terminal", async () => {
  const path = join(folder, "odd.safetensors");
  const entry = '{"dtype":"U8","shape":[2],"data_offsets":[0,2]}';
  await writeFile(path, rawFile(`{"__metadata__":{"k\\u0007":"v\\n"},"t\\u001b[2Jé":${entry}}`, new Uint8Array(2)));
  const { out, error } = await run(path);
  expect(error).toBeNull();
  expect(out).toContain("  k\\u{7}: v\\u{a}\n");
  expect(out).toContain("  t\\u{1b}[2Jé  U8 [2]  2 bytes\n");
});

it("says what is wrong with a file", async () => {
  const path = join(folder, "short.safetensors");
  await writeFile(path, tensorFile({ a: f32(1, 2) }).subarray(0, -1));
  const { out, error } = await run(path);
  expect(out).toBe("");
  expect((error as Error).message).toContain("short.safetensors is truncated");
});
