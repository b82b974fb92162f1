// A device that fails under a model in a page: the caller gets a typed error, and a model opened
// again gives the right tokens.

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenOptions } from "../../src/index.ts";
import { noChromium, openSite, pageOf, type Site } from "../support/chromium.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { shown } from "../support/some.ts";

/**
 * The page: a device may be given trouble when it is busy with a model. A string: vitest would
 * rewrite an import here.
 */
const PAGE = pageOf(
  { "@huggingface/tokenizers": "/node_modules/@huggingface/tokenizers/dist/tokenizers.mjs" },
  `
  import { DeviceError, open } from "/dist/src/browser.js";
  let trouble = null; // what befalls the next submit
  const requestDevice = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...args) {
    const device = await requestDevice.apply(this, args);
    const submit = device.queue.submit.bind(device.queue);
    device.queue.submit = (commands) => {
      const now = trouble;
      trouble = null;
      if (now === "an invalid command") {
        const buffer = device.createBuffer({ size: 16, usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
        const encoder = device.createCommandEncoder();
        encoder.copyBufferToBuffer(buffer, 0, buffer, 0, 16); // onto itself, which is not allowed
        commands = [...commands, encoder.finish()];
      }
      submit(commands);
      if (now === "a lost device") device.destroy();
    };
    return device;
  };
  /**
   * Generates with a model of its own; the trouble comes with the first submit after \`tokens\` of
   * the answer.
   */
  globalThis.story = async (options, prompt, generate, planned, tokens) => {
    const model = await open(location.origin + "/models/tales", options);
    const ids = [];
    try {
      if (tokens === 0) trouble = planned;
      for await (const piece of model.session().generate(prompt, generate)) {
        ids.push(...piece.ids);
        if (ids.length === tokens) trouble = planned;
      }
      return { ids };
    } catch (error) {
      return { ids, error: String(error), typed: error instanceof DeviceError };
    } finally {
      await model.close();
    }
  };
  globalThis.ready = true;
`,
);
const { prompt, greedy_ids } = JSON.parse(readFileSync(inRepo("models/tales/reference.json"), "utf8")).prompts[0] as {
  prompt: string;
  greedy_ids: number[];
};
const OPTIONS = { backend: "webgpu", weights: "f32", kv: "f32", chunk: 32, context: 256 } satisfies OpenOptions;
const MOST = 8;

interface Story {
  readonly ids: readonly number[];
  readonly error?: string;
  readonly typed?: boolean;
}

const left = noChromium ?? leftToCi;
describe.skipIf(left)(titled("a device that fails in a page", left), () => {
  let site: Site;
  let visit: Awaited<ReturnType<Site["visit"]>>;
  beforeAll(async () => {
    site = await openSite(PAGE);
    visit = await site.visit("/");
  });
  afterAll(() => site?.close());

  const story = (trouble: string | null, tokens: number): Promise<Story> =>
    visit.page.evaluate(
      `story(...${JSON.stringify([OPTIONS, prompt, { maxTokens: MOST, temperature: 0 }, trouble, tokens])})`,
    );

  // In one page, a model each: what a failure leaves behind would show in the tokens of
  // the next one.
  const troubles = [
    { trouble: "a lost device", when: "in the prompt", tokens: 0, message: /^DeviceError: .*lost.*open it again/ },
    { trouble: "a lost device", when: "between tokens", tokens: 3, message: /^DeviceError: .*lost.*open it again/ },
    { trouble: "an invalid command", when: "between tokens", tokens: 3, message: /^DeviceError: .*refused a command/ },
  ];
  // Each compiles all kernels of a model; a device that is lost between steps is a case of
  // webgpu_device.test.ts, which a page runs too.
  it.each(shown(troubles, ({ tokens, trouble }) => tokens === 0 || trouble !== "a lost device"))(
    "$trouble $when is a DeviceError",
    async ({ trouble, tokens, message }) => {
      const failed = await story(trouble, tokens);
      expect(failed.error).toMatch(message);
      expect(failed.typed).toBe(true);
      expect(failed.ids.length).toBeGreaterThanOrEqual(tokens);
      expect(failed.ids.length).toBeLessThan(MOST);
      expect(failed.ids).toEqual(greedy_ids.slice(0, failed.ids.length));
    },
  );

  it("a model that is opened afterwards gives the reference's tokens", async () => {
    expect(await story(null, 0)).toEqual({ ids: greedy_ids.slice(0, MOST) });
    expect(visit.problems).toEqual([]);
  });
});
