// Offloaded experts of GGUF files, whose layers have different formats: transformers' tokens with
// any number of slots, from the file's own bytes, in every tier.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { OpenOptions, Session } from "../../src/engine/api.ts";
import type { Model } from "../../src/engine/model.ts";
import { open } from "../../src/index.ts";
import { backends } from "../support/backends.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { shown } from "../support/some.ts";

interface Prompt {
  readonly ids: number[];
  readonly greedy_ids: number[];
}

function fixture(name: string) {
  const { path, skip } = inShared(`fixtures/gguf/${name}.gguf`);
  const { prompts } = skip
    ? { prompts: [] }
    : (JSON.parse(readFileSync(path.replace(/gguf$/, "expected.json"), "utf8")) as { prompts: Prompt[] });
  return { name, path, skip, prompts };
}

const K2 = fixture("k2-Q4_K_M");
const MXFP4 = fixture("t2-MXFP4_MOE");
const TALES = fixture("tales-Q4_K_M");
const TOKENS = 10;
const MIB = 2 ** 20;

/** Opens with exact products, and a cache folder of the test's own; closed when it ends. */
async function opened(path: string, options: OpenOptions): Promise<{ model: Model; cache: string }> {
  const cache = mkdtempSync(join(tmpdir(), "hotset-gguf-"));
  onTestFinished(() => rmSync(cache, { recursive: true, force: true }));
  vi.stubEnv("HOTSET_CACHE", cache);
  onTestFinished(() => void vi.unstubAllEnvs());
  const model = await open(path, { activations: "f32", kv: "f32", context: 128, chunk: 32, ...options });
  onTestFinished(() => model.close());
  return { model, cache };
}

async function take(session: Session, ids: readonly number[], maxTokens: number): Promise<number[]> {
  const out: number[] = [];
  for await (const piece of session.generate(ids, { temperature: 0, ignoreEos: true, maxTokens }))
    out.push(...piece.ids);
  return out;
}

describe.each(backends)("a GGUF file's experts in slots on $name", ({ options: backend }) => {
  const cpu = backend.backend === "cpu";
  // How many slots a layer has is the same to every backend: an adapter, which compiles its kernels
  // for each model first, shows each file once.
  const CASES = shown(
    [
      ...[1, 2, 4].map((slots) => ({ ...K2, slots, often: slots === 2 })),
      ...[2, 4].map((slots) => ({ ...MXFP4, slots, often: slots === 2 && cpu })),
      ...[2, 4, 8].map((slots) => ({ ...TALES, slots, often: slots === 2 && cpu })),
    ],
    ({ slots }) => cpu || slots === 2,
  );
  for (const { name, path, skip, prompts, slots, often } of CASES) {
    const left = skip ?? (often ? null : leftToCi);
    it.skipIf(left)(titled(`${slots} a layer of ${name}: transformers' tokens`, left), async () => {
      const { model, cache } = await opened(path, { ...backend, expertSlots: slots });
      const { ids, greedy_ids } = prompts[0]!;
      const routes: number[] = [];
      const session = model.session();
      expect(await take(session, ids, TOKENS)).toEqual(greedy_ids.slice(0, TOKENS));
      const { experts } = model.stats();
      if (experts === null) {
        expect(slots).toBeGreaterThanOrEqual(4);
        return;
      }
      for (const layer of experts.main.layers) routes.push(layer.routed);
      expect(Math.min(...routes)).toBeGreaterThan(0);
      expect(experts.main.layers.some(({ misses }) => misses > 0)).toBe(true);
      // What is read again is read from the file: nothing else is written.
      expect(existsSync(cache) ? readdirSync(cache).filter((entry) => entry.endsWith(".tmp")) : []).toEqual([]);
    });
  }

  it.skipIf(K2.skip ?? leftToCi)(
    titled("a session that is saved and restored, and its routes", K2.skip ?? leftToCi),
    async () => {
      const [first, second] = K2.prompts;
      const steps: number[][] = [];
      const { model } = await opened(K2.path, {
        ...backend,
        expertSlots: 2,
        onRoutes: ({ layers }) => void steps.push(layers.map(({ length }) => length)),
      });
      const session = model.session();
      expect(await take(session, first!.ids, 4)).toEqual(first!.greedy_ids.slice(0, 4));
      const saved = await session.save();
      const other = model.session();
      expect(await take(other, second!.ids, 4)).toEqual(second!.greedy_ids.slice(0, 4));
      const restored = await model.restore(saved);
      const next = first!.greedy_ids.slice(4, 5);
      expect(await take(restored, next, 5)).toEqual(await take(session, next, 5));
      expect(steps.length).toBeGreaterThan(0);
      expect(steps.every((layers) => layers.length === 2)).toBe(true);
    },
  );

  const slow = TALES.skip ?? (cpu ? null : leftToCi);
  it.skipIf(slow)(titled("with room for few in RAM, too: the others are read from the file again", slow), async () => {
    const budget = cpu ? {} : { ram: 26 * MIB };
    const { model } = await opened(TALES.path, { ...backend, expertSlots: 2, ...budget });
    for (const { ids, greedy_ids } of TALES.prompts.slice(0, cpu ? 2 : 1))
      expect(await take(model.session(), ids, 4)).toEqual(greedy_ids.slice(0, 4));
    const { experts } = model.stats();
    const { slots, bytes } = experts!.ram ?? experts!.main;
    expect(slots).toBeLessThan(8);
    // More than there are slots for: on the CPU two a layer, and those in transit.
    const most = cpu ? 2 * 6 + 2 * 5 : 2 * 5;
    expect(bytes.demand + bytes.prefetch + bytes.admission).toBeGreaterThan(most * experts!.recordBytes);
  });
});
