import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { afterAll, afterEach, beforeAll, expect, it, vi } from "vitest";
import { addInspect } from "../../src/cli/inspect.ts";
import { WeightsError } from "../../src/errors.ts";
import { modelFile } from "./gguf/make_model.ts";
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

it("prints a GGUF model as text: types, parts, metadata and tensors", async () => {
  await writeFile(join(folder, "m.gguf"), modelFile({ "general.name": ["string", "a\u001bb"] }));
  const { out, error } = await run(join(folder, "m.gguf"));
  expect(error).toBeNull();
  expect(out).toMatch(/architecture +llama: mixtral, hidden_size 32/);
  expect(out).toMatch(/parameters +22,016 total, 15,872 active per token/);
  expect(out).toMatch(/files +1 GGUF \(version 3\), /);
  expect(out).toMatch(/tensors +13 F32, 22,016 elements, 32\.000 bits a weight, 86\.0 KiB, 87\.4 KiB in memory/);
  expect(out).toContain("  general.name: a\\u{1b}b\n");
  expect(out).toContain("\n  blk.0.ffn_up_exps.weight  F32 [3, 64, 32]  24576 bytes\n");
});

it("prints a GGUF model that cannot be run, and fails with the reason", async () => {
  await writeFile(join(folder, "m.gguf"), modelFile({ "general.architecture": ["string", "other"] }));
  const { out, error } = await run("--json", join(folder, "m.gguf"));
  expect(JSON.parse(out)).toMatchObject({ kind: "gguf", name: "other", architecture: null, version: 3 });
  expect((error as Error).message).toContain('"other" is not supported');
});
