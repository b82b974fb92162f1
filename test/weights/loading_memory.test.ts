// Loading streams: the process never holds much more than the packed weights, whatever
// the file's size.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open as openFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { BenchReport } from "../../src/cli/bench.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";

const folder = mkdtempSync(join(tmpdir(), "hotset-loading-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const D = 2048;
const F = 4096;
const E = 8;
const V = 1024;
const CONFIG = {
  model_type: "mixtral",
  hidden_size: D,
  intermediate_size: F,
  num_hidden_layers: 6,
  num_attention_heads: 16,
  num_key_value_heads: 4,
  num_local_experts: E,
  num_experts_per_tok: 2,
  vocab_size: V,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 1e6,
};

/** Fused tensors of one layer: 268 MiB and 134 MiB in bf16, far more than a reader may hold. */
function tensors(): [string, number[]][] {
  const list: [string, number[]][] = [
    ["model.embed_tokens.weight", [V, D]],
    ["model.norm.weight", [D]],
    ["lm_head.weight", [V, D]],
  ];
  for (let i = 0; i < CONFIG.num_hidden_layers; i++) {
    const p = `model.layers.${i}.`;
    list.push(
      [`${p}input_layernorm.weight`, [D]],
      [`${p}post_attention_layernorm.weight`, [D]],
      [`${p}self_attn.q_proj.weight`, [D, D]],
      [`${p}self_attn.k_proj.weight`, [512, D]],
      [`${p}self_attn.v_proj.weight`, [512, D]],
      [`${p}self_attn.o_proj.weight`, [D, D]],
      [`${p}mlp.gate.weight`, [E, D]],
      [`${p}mlp.experts.gate_up_proj`, [E, 2 * F, D]],
      [`${p}mlp.experts.down_proj`, [E, D, F]],
    );
  }
  return list;
}

/**
 * One file of 2.5 GB; its data is a hole in the file (all zeros), so that it takes no space and no
 * time to write.
 */
beforeAll(async () => {
  let at = 0;
  const header: Record<string, object> = {};
  for (const [name, shape] of tensors()) {
    const bytes = shape.reduce((product, size) => product * size, 2);
    header[name] = { dtype: "BF16", shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setBigUint64(0, BigInt(json.length), true);
  const file = await openFile(join(folder, "model.safetensors"), "w");
  await file.write(prefix);
  await file.write(json);
  await file.truncate(8 + json.length + at);
  await file.close();
  expect(at).toBeGreaterThan(2 ** 31);
  writeFileSync(join(folder, "config.json"), JSON.stringify(CONFIG));
});

it.skipIf(leftToCi)(titled("peak resident set stays below the weights in memory + 512 MiB", leftToCi), () => {
  const args = ["bench", folder, "--backend", "cpu", "--weights", "q4", "--prompt-tokens", "2", "--decode-tokens", "1"];
  const run = spawnSync(process.execPath, [inRepo("dist/src/cli/main.js"), ...args, "--repeats", "1", "--json"], {
    encoding: "utf8",
  });
  expect(run.status, run.stderr).toBe(0);
  const report = JSON.parse(run.stdout) as BenchReport;
  expect(report.memory.weights).toBeGreaterThan(600 * 2 ** 20);
  expect(report.peakRssBytes).toBeLessThan(report.memory.weights + 512 * 2 ** 20);
});

it.skipIf(leftToCi)(titled("quantizing stays far below what it reads and writes", leftToCi), () => {
  const script = `
    const { quantize } = await import(process.argv[1]);
    const { bytes } = await quantize(process.argv[2], process.argv[3], { weights: "q4" });
    console.log(JSON.stringify({ bytes, peak: 1024 * process.resourceUsage().maxRSS }));`;
  const paths = [inRepo("dist/src/index.js"), folder, join(folder, "quantized")];
  const args = ["--input-type=module", "-e", script, ...paths];
  const run = spawnSync(process.execPath, args, { encoding: "utf8" });
  expect(run.status, run.stderr).toBe(0);
  const { bytes, peak } = JSON.parse(run.stdout) as { bytes: number; peak: number };
  expect(bytes).toBeGreaterThan(600 * 2 ** 20);
  expect(peak).toBeLessThan(256 * 2 ** 20);
});
