// How often models/tales uses the experts that are predicted one and two layers ahead: what the
// simulations of prefetching go by (drifting.ts).

import { expect, it, onTestFinished, vi } from "vitest";
import { layerPrediction, type Predict } from "../../src/experts/prediction.ts";
import { RamTier } from "../../src/experts/ram_tier.ts";
import { open } from "../../src/index.ts";
import { bindSources, readArchitecture } from "../../src/model/families/index.ts";
import { routingOf } from "../../src/model/family.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { inRepo } from "../support/fixtures.ts";
import { TALES } from "./drifting.ts";

const tales = inRepo("models/tales");
const BEGINNINGS = ["Once upon a time there was a miller who had three sons", '"Who is there?" asked the girl.'];
const TOKENS = 120;

async function prediction(): Promise<Predict> {
  const { config, source, close } = await openFolder(await nodeFiles(tales));
  try {
    const architecture = readArchitecture(config, "config.json");
    const { perToken, rule } = routingOf(architecture);
    const layers = bindSources(architecture, source).layers.map((layer) => ({ ...layer, gate: layer.gate! }));
    return await layerPrediction(layers, perToken, rule);
  } finally {
    await close();
  }
}

it("is what the simulations say, within three in a hundred", async () => {
  const predict = await prediction();
  const counts = TALES.right.map(() => ({ right: 0, all: 0 }));
  let rows: Float32Array[] = []; // of this token, by layer
  const visit = RamTier.prototype.visit;
  const spy = vi.spyOn(RamTier.prototype, "visit").mockImplementation(function (this: RamTier, layer, use, x, ...more) {
    if (layer === 0) rows = [];
    rows.push(x.slice());
    if (use.length === 2) {
      for (const [i, count] of counts.entries()) {
        const from = layer - (i + 1);
        if (from < 0) continue;
        const experts = predict(from, rows[from]!, i + 1);
        count.all += experts.length;
        count.right += experts.filter((expert) => use.some((one) => one.expert === expert)).length;
      }
    }
    return visit.call(this, layer, use, x, ...more);
  });
  onTestFinished(() => spy.mockRestore());
  const model = await open(tales, { backend: "cpu", expertSlots: 4 });
  onTestFinished(() => model.close());
  for (const [seed, text] of BEGINNINGS.entries()) {
    const session = model.session();
    for await (const _ of session.generate(text, { maxTokens: TOKENS, temperature: 0.8, seed, ignoreEos: true }));
    session.close();
  }
  for (const [i, { right, all }] of counts.entries()) {
    expect(all).toBeGreaterThan(1000);
    expect(Math.abs(right / all - TALES.right[i]!)).toBeLessThan(0.03);
  }
});
