// Checkpoints in BF16: bf16 has all of their values in half of f32's bytes.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { open } from "../../src/index.ts";
import { bindSources, readArchitecture } from "../../src/model/families/index.ts";
import { automatic } from "../../src/model/formats.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFolderOrFile } from "../../src/weights/node_files.ts";
import { CONTROL_FILES } from "../chat/support.ts";
import { inRepo } from "../support/fixtures.ts";
import { collect } from "../support/pieces.ts";
import { writeTinyFolder } from "../support/tiny_folder.ts";
import { type TensorSpec, tensorFile } from "../weights/memory_files.ts";

const V = 4105;
const TALES = inRepo("models/tales");
const greedy = { temperature: 0, maxTokens: 48, ignoreEos: true };

/** The tensors of a folder's file, all in F32. */
function tensorsOf(path: string): Record<string, TensorSpec> {
  const file = readFileSync(join(path, "model.safetensors"));
  const size = Number(file.readBigUInt64LE(0));
  const header: Record<string, { shape: number[]; data_offsets: [number, number] }> = JSON.parse(
    file.subarray(8, 8 + size).toString(),
  );
  return Object.fromEntries(
    Object.entries(header).map(
      ([
        name,
        {
          shape,
          data_offsets: [begin, end],
        },
      ]) => {
        const data = new Float32Array(Uint8Array.from(file.subarray(8 + size + begin, 8 + size + end)).buffer);
        return [name, { dtype: "F32", shape, data }];
      },
    ),
  );
}

/** The upper halves of its values. */
function inBf16({ shape, data }: TensorSpec): TensorSpec {
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.byteLength / 4);
  return { dtype: "BF16", shape, data: Uint16Array.from(bits, (word) => word >>> 16) };
}

/** The largest difference. */
function distance(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
}

/** A small model some of whose tensors are in BF16. */
function mixed(isBf16: (name: string) => boolean) {
  const plain = writeTinyFolder(CONTROL_FILES, V);
  const tensors = Object.entries(tensorsOf(plain.path)).map(([name, tensor]) => [
    name,
    isBf16(name) ? inBf16(tensor) : tensor,
  ]);
  plain.remove();
  return writeTinyFolder({ "model.safetensors": tensorFile(Object.fromEntries(tensors)), ...CONTROL_FILES }, V);
}

describe("a checkpoint in BF16", () => {
  it("has in bf16 the logits of f32 within rounding, and its greedy tokens", async () => {
    const models = {
      f32: await open(TALES, { backend: "cpu", weights: "f32" }),
      bf16: await open(TALES, { backend: "cpu", weights: "bf16" }),
    };
    expect([models.f32.stats().weights, models.bf16.stats().weights]).toEqual(["f32", "bf16"]);
    expect(models.bf16.stats().memory.weights / models.f32.stats().memory.weights).toBeCloseTo(0.5, 2);
    const prompt = "Once upon a time there was a fox who";
    const ids = models.bf16.tokenizer.encode(prompt, { addBos: true });
    expect(distance(await models.bf16.logits(ids), await models.f32.logits(ids))).toBeLessThan(1e-4);
    const texts = [models.f32, models.bf16].map(async (model) => {
      const session = model.session();
      return (await collect(session.generate(prompt, greedy))).ids;
    });
    expect(await texts[1]).toEqual(await texts[0]);
    await Promise.all([models.f32.close(), models.bf16.close()]);
  });

  it.each([
    [200, "f32"],
    [84, "bf16"],
    [76, "q8"],
    [56, "q4"],
  ])("of which %d MiB of RAM hold all experts in %s", async (mebibytes, weights) => {
    const model = await open(TALES, { backend: "cpu", ram: mebibytes * 2 ** 20 });
    expect(model.stats()).toMatchObject({ weights, experts: null });
    await model.close();
  });
});

describe("what is chosen where f32 does not fit", () => {
  const folders = {
    all: mixed(() => true),
    matrices: mixed((name) => !name.includes("norm") && !name.includes("gate")),
    some: mixed((name) => !name.includes("lm_head")),
  };
  afterAll(() => {
    for (const folder of Object.values(folders)) folder.remove();
  });

  it.each([
    ["all", "bf16"],
    ["matrices", "bf16"],
    ["some", "f16"],
  ] as const)("where %s are in BF16: %s, and in bf16 the logits are near those of f32", async (which, half) => {
    const { path } = folders[which];
    const { config, source, close } = await openFolder((await nodeFolderOrFile(path)).files);
    expect(automatic(bindSources(readArchitecture(config, path), source))).toEqual(["f32", half, "q8", "q4"]);
    await close();
    const ids = [1, 5, 7, 3];
    const logits: Float32Array[] = [];
    for (const weights of ["f32", "bf16"] as const) {
      const model = await open(path, { backend: "cpu", weights });
      logits.push(await model.logits(ids));
      await model.close();
    }
    expect(distance(logits[0]!, logits[1]!)).toBeLessThan(which === "some" ? 0.1 : 1e-4);
  });
});
