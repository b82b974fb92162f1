// models/tales in slots of a GPU whose allocations are counted outside the backend: budgets hold to
// the byte, and failures are typed errors.

import { readFileSync } from "node:fs";
import { describe, expect, it, onTestFinished } from "vitest";
import type { OpenOptions } from "../../src/engine/api.ts";
import type { Model } from "../../src/engine/model.ts";
import { DeviceError, MemoryError } from "../../src/errors.ts";
import { openModel } from "../../src/wiring/open.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { EVERYTHING, leftToCi } from "../support/level.ts";
import { shown } from "../support/some.ts";
import { type WatchedGpu, watchedGpu } from "../support/watched_gpu.ts";

const tales = inRepo("models/tales");
const { prompts } = JSON.parse(readFileSync(`${tales}/reference.json`, "utf8")) as {
  prompts: { ids: number[]; greedy_ids: number[] }[];
};
const MIB = 2 ** 20;

async function opened({ platform }: WatchedGpu, options: OpenOptions): Promise<Model> {
  const setting = { weights: "f32", kv: "f32", context: 256, chunk: 32, backend: "webgpu", ...options } as const;
  const model = await openModel(tales, setting, platform);
  onTestFinished(() => model.close());
  return model;
}

async function tokens(model: Model, prompt: number, maxTokens: number): Promise<number[]> {
  const ids: number[] = [];
  const { ids: from } = prompts[prompt]!;
  for await (const piece of model.session().generate(from, { maxTokens, temperature: 0, ignoreEos: true }))
    ids.push(...piece.ids);
  return ids;
}

const usual = adapters.find(({ name }) => !name.includes("SwiftShader")) ?? adapters[0];

describe.skipIf(noAdapter)(`slots on ${usual ? `webgpu ${usual.name}` : `a device: ${NO_ADAPTER}`}`, () => {
  const budgets = [
    ["f32", 30],
    ["f32", 40],
    ["f32", 70],
    ["q8", 12],
    ["q4", 8],
    ["q4", 12],
  ] as const;
  for (const [weights, mib] of shown(budgets, ([weights, mib]) => mib === 40 || mib === 8 || weights === "q8")) {
    const left = mib === 40 ? null : leftToCi;
    it.skipIf(left)(
      titled(`${weights} in ${mib} MiB: never more is allocated than the budget, and the tokens are right`, left),
      async () => {
        const gpu = watchedGpu(usual!.name);
        const model = await opened(gpu, { weights, gpuMemory: mib * MIB, activations: "f32" });
        const { experts } = model.stats();
        expect(experts!.main.slots).toBeGreaterThan(0);
        expect(experts!.main.slots).toBeLessThan(8);
        const found = await Promise.all([tokens(model, 0, 12), tokens(model, 1, 12)]);
        if (weights === "f32") expect(found).toEqual([0, 1].map((i) => prompts[i]!.greedy_ids.slice(0, 12)));
        // A chunk of a prompt as well.
        const long = prompts.slice(0, 12).flatMap(({ ids }) => ids);
        for await (const _ of model.session().generate(long, { maxTokens: 2 }));
        expect(gpu.peak).toBeLessThanOrEqual(mib * MIB);
        expect(gpu.peak).toBeGreaterThan(0.5 * mib * MIB);
      },
    );
  }

  it.skipIf(leftToCi)(
    titled("a device that is lost while a model generates: a DeviceError, and the model can be closed", leftToCi),
    async () => {
      for (const after of EVERYTHING ? [1, 4] : [4]) {
        const gpu = watchedGpu(usual!.name);
        const model = await opened(gpu, { expertSlots: 2 });
        const run = (async () => {
          let count = 0;
          for await (const piece of model.session().generate(prompts[0]!.ids, { temperature: 0, ignoreEos: true })) {
            count += piece.ids.length;
            if (count >= after) gpu.device.destroy();
          }
        })();
        await expect(run).rejects.toThrow(DeviceError);
        await expect(tokens(model, 1, 1)).rejects.toThrow(DeviceError);
        await model.close();
      }
    },
  );

  it.skipIf(leftToCi)(
    titled("an allocation that fails while slots are created: a MemoryError, and the next model opens", leftToCi),
    async () => {
      const gpu = watchedGpu(usual!.name);
      let made = 0;
      gpu.onBuffer = (_, bytes) => {
        if (bytes > MIB && ++made === 5) throw new RangeError("Buffer size could not be allocated");
      };
      await expect(opened(gpu, { expertSlots: 2 })).rejects.toThrow(MemoryError);
      gpu.onBuffer = () => {};
      expect(await tokens(await opened(gpu, { expertSlots: 2 }), 0, 4)).toEqual(prompts[0]!.greedy_ids.slice(0, 4));
    },
  );
});
