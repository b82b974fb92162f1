// The GGUF files that peers read: the format byte by byte, and models/tales in llama.cpp's names
// and shapes.

import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { decoderGguf } from "../../bench/peers/decoder_gguf.ts";
import { writeGguf } from "../../bench/peers/gguf.ts";
import { openWeights } from "../../bench/weights.ts";

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "hotset-gguf-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "model.gguf");
}

it("writes version 3: counts, typed metadata, a table of tensors, data aligned to 32", async () => {
  const path = temporary();
  const floats = Float32Array.of(1, 2, 3);
  await writeGguf(path, {
    metadata: { "a.b": { u32: 7 }, on: { bool: true }, words: { texts: ["x", "é"] } },
    tensors: [
      {
        name: "v",
        type: "f32",
        dims: [3],
        data: async function* () {
          yield new Uint8Array(floats.buffer);
        },
      },
      {
        name: "m",
        type: "q4_0",
        dims: [32, 2],
        data: async function* () {
          yield new Uint8Array(36).fill(9);
        },
      },
    ],
  });
  // The layout of ggml's docs/gguf.md, written out by hand.
  const u32 = (n: number) => [n, 0, 0, 0];
  const u64 = (n: number) => [n, 0, 0, 0, 0, 0, 0, 0];
  const text = (s: string) => [...u64(Buffer.byteLength(s)), ...Buffer.from(s)];
  const head = [
    ...[...Buffer.from("GGUF"), ...u32(3), ...u64(2), ...u64(3)],
    ...[...text("a.b"), ...u32(4), ...u32(7)],
    ...[...text("on"), ...u32(7), 1],
    ...[...text("words"), ...u32(9), ...u32(8), ...u64(2), ...text("x"), ...text("é")],
    ...[...text("v"), ...u32(1), ...u64(3), ...u32(0), ...u64(0)],
    ...[...text("m"), ...u32(2), ...u64(32), ...u64(2), ...u32(2), ...u64(32)],
  ];
  while (head.length % 32 !== 0) head.push(0);
  const data = [...new Uint8Array(floats.buffer), ...new Array(20).fill(0), ...new Array(36).fill(9)];
  while (data.length % 32 !== 0) data.push(0);
  expect([...readFileSync(path)]).toEqual([...head, ...data]);
});

it("rejects data that does not match the shape", async () => {
  const short = {
    name: "v",
    type: "f32",
    dims: [3],
    data: async function* () {
      yield new Uint8Array(8);
    },
  } as const;
  await expect(writeGguf(temporary(), { metadata: {}, tensors: [short] })).rejects.toThrow(
    "v: its shape and type need 12 bytes, found 8",
  );
});

it("gives a model llama.cpp's tensor names, with the bytes of their shapes", async () => {
  const url =
    "synthetic:mixtral-8x7b?layers=1&hidden_size=64&intermediate_size=96&num_attention_heads=4&num_key_value_heads=2&vocab_size=300";
  const { architecture, sources } = await openWeights(url);
  const gguf = decoderGguf(architecture, sources);
  expect(gguf.tensors.map(({ name, type, dims }) => `${name} ${type} ${dims}`)).toEqual([
    "token_embd.weight q4_0 64,300",
    "output_norm.weight f32 64",
    "output.weight q4_0 64,300",
    "blk.0.attn_norm.weight f32 64",
    "blk.0.attn_q.weight q4_0 64,64",
    "blk.0.attn_k.weight q4_0 64,32",
    "blk.0.attn_v.weight q4_0 64,32",
    "blk.0.attn_output.weight q4_0 64,64",
    "blk.0.ffn_norm.weight f32 64",
    "blk.0.ffn_gate_inp.weight f32 64,8",
    "blk.0.ffn_gate_exps.weight q4_0 64,96,8",
    "blk.0.ffn_down_exps.weight q4_0 96,64,8",
    "blk.0.ffn_up_exps.weight q4_0 64,96,8",
  ]);
  const path = temporary();
  await writeGguf(path, gguf); // throws if the bytes do not match the shape
  // As the first, byte-wise writer wrote it (commit ccf84d7).
  expect(createHash("sha256").update(readFileSync(path)).digest("hex")).toBe(
    "6441ac26a0f96ae0e98c58ef700853570e84262a6b9d179dc54dc41166fd933a",
  );
});
