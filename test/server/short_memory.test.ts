// More answers than the KV cache has room for, over HTTP: none breaks off, none is refused, each is
// what it is alone.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Model } from "../../src/engine/model.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { openTales, type RealServer, serveReal } from "./real.ts";

const CLIENTS = 16;

let model: Model;
let server: RealServer;
beforeAll(async () => {
  const small = await openTales({ ram: 1 << 20 }).catch((error: Error) => error.message);
  const least = Number(/ is (\d+) MiB/.exec(String(small))?.[1]);
  model = await openTales({ ram: (least + 1) * 2 ** 20, threads: 2 });
  server = await serveReal(model, { parallel: CLIENTS, queue: 256 });
});
afterAll(async () => {
  await server?.close();
  await model?.close();
});

/** Token ids, the first of them this client's own: no beginning is shared. */
const promptOf = (client: number, length: number): number[] =>
  Array.from({ length }, (_, i) => 3 + ((i * (client + 7) + client) % 4000));

/** A streamed answer's text and end. */
async function stream(body: object): Promise<{ status: number; text: string; end: string; logprobs: number[] }> {
  const { status, text } = await server.ask("/v1/completions", { ...body, stream: true });
  const events = text.split("\n\n").filter((event) => event.startsWith("data: "));
  expect(events.at(-1)).toBe("data: [DONE]");
  const chunks = events.slice(0, -1).map((event) => JSON.parse(event.slice(6)));
  const choices = chunks.flatMap((chunk) => chunk.choices ?? []);
  return {
    status,
    text: choices.map((choice) => choice.text).join(""),
    end: choices.at(-1).finish_reason,
    logprobs: choices.flatMap((choice) => choice.logprobs?.token_logprobs ?? []),
  };
}

describe.skipIf(leftToCi)(titled("with less room than its clients' answers take", leftToCi), () => {
  const cases = [
    ["16 short prompts and answers of 190 tokens", CLIENTS, 20, { max_tokens: 190, ignore_eos: true }],
    ["8 prompts of 700 tokens, answers as long as fits", 8, 700, { stop: [","] }],
  ] as const;
  it.each(cases)("%s: all are whole, and the same as alone", async (_, clients, length, more) => {
    const bodies = Array.from({ length: clients }, (_, client) => ({
      prompt: promptOf(client, length),
      ...more,
      // Greedy, drawn, and with log probabilities: what the recomputed cache gives is the same to
      // the last bit.
      ...(client % 3 === 0 ? { temperature: 0 } : { temperature: 0.9, seed: client }),
      ...(client % 4 === 0 && { logprobs: 1 }),
    }));
    const together = await Promise.all(bodies.map(stream));
    expect(together.map(({ status }) => status)).toEqual(Array(clients).fill(200));
    const metrics = server.chat.metrics();
    expect(metrics).toMatchObject({ queued: 0, running: 0, waiting: 0, kv: { used: 0 } });
    for (const client of together.keys()) expect(together[client]).toEqual(await stream(bodies[client]!));
  });

  it("some of them gave up their place for others, and all blocks are back", () => {
    const { suspensions, recomputedTokens, kv } = server.chat.metrics();
    expect(suspensions).toBeGreaterThan(0);
    expect(recomputedTokens).toBeGreaterThan(0);
    expect(kv.capacity).toBeLessThan(CLIENTS * 210);
    expect(kv.used).toBe(0);
  });
});
