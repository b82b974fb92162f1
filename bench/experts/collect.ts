// Collects the traces to replay: a model continues texts of each kind, or reads random tokens, and
// each step's experts are kept.

import { basename } from "node:path";
import { randomFrom } from "../../src/engine/random.ts";
import type { Trace } from "../../src/experts/trace.ts";
import { open, type RouteStep } from "../../src/index.ts";
import { routingOf, sparseLayers } from "../../src/model/family.ts";
import { TEXTS } from "./texts.ts";

/** Tokens to decode after each beginning, past any end of text. */
const DECODED = 320;
const TEMPERATURE = 0.8;

/**
 * One trace for each kind of text: its beginnings in turn, each in its own session. On the CPU with
 * exact arithmetic, so that traces agree between machines, up to the order of sums.
 * @param onKind called with each trace when it is complete
 */
export async function collectTraces(model: string, onKind: (kind: string, trace: Trace) => void): Promise<void> {
  let steps: RouteStep[] = [];
  const opened = await open(model, {
    backend: "cpu",
    weights: "f32",
    needTokenizer: true,
    onRoutes: (step) => void steps.push(step),
  });
  try {
    const layers = sparseLayers(opened.architecture).length;
    const { count: experts, perToken: k } = routingOf(opened.architecture);
    for (const [kind, texts] of Object.entries(TEXTS)) {
      steps = [];
      for (const [seed, text] of texts.entries()) {
        const session = opened.session();
        const options = {
          maxTokens: DECODED,
          temperature: TEMPERATURE,
          topK: 0,
          topP: 1,
          minP: 0,
          seed,
          ignoreEos: true,
        };
        for await (const _ of session.generate(text, options));
        session.close();
      }
      onKind(kind, { model, layers, experts, k, steps });
    }
  } finally {
    await opened.close();
  }
}

/**
 * The routes of random tokens, as if each had been decoded: they are read as one text, whose rows
 * all give logits. @param ram budget, bytes
 */
export async function randomTrace(model: string, tokens: number, ram: number | undefined): Promise<Trace> {
  const read: RouteStep[] = [];
  const opened = await open(model, {
    backend: "cpu",
    context: tokens,
    onRoutes: (step) => void read.push(step),
    ...(ram !== undefined && { ram }),
  });
  try {
    const layers = sparseLayers(opened.architecture).length;
    const { count: experts, perToken: k } = routingOf(opened.architecture);
    const random = randomFrom(1);
    await opened.logits(Array.from({ length: tokens }, () => Math.floor(random() * opened.architecture.vocab)));
    const steps = read.flatMap((step) =>
      Array.from({ length: step.tokens }, (_, row): RouteStep => {
        return { tokens: 1, sequences: 1, layers: step.layers.map((ids) => ids.slice(row * k, (row + 1) * k)) };
      }),
    );
    return { model: basename(model), layers, experts, k, steps };
  } finally {
    await opened.close();
  }
}
