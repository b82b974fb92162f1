// Traces: written and read back, rejected if they are wrong, and equal to what the model chose.

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RequestError } from "../../src/errors.ts";
import { decodes, parseTrace, type RouteStep, traceHeader, traceLine } from "../../src/experts/trace.ts";
import { open } from "../../src/index.ts";
import { backends } from "../support/backends.ts";
import { inRepo } from "../support/fixtures.ts";

const HEADER = { model: "m", layers: 2, experts: 4, k: 2 };
const chunk: RouteStep = {
  tokens: 3,
  sequences: 1,
  layers: [Uint32Array.of(0, 1, 2, 3, 3, 0), Uint32Array.of(1, 2)],
};
const token: RouteStep = { tokens: 1, sequences: 1, layers: [Uint32Array.of(3, 1), Uint32Array.of(0, 2)] };

describe("a trace", () => {
  it("is lines of JSON", () => {
    expect(traceHeader(HEADER)).toBe('{"trace":1,"model":"m","layers":2,"experts":4,"k":2}\n');
    expect(traceLine(chunk)).toBe('{"tokens":3,"sequences":1,"ids":[[0,1,2,3,3,0],[1,2]]}\n');
  });

  it("reads back what was written, with or without the last newline", () => {
    const text = traceHeader(HEADER) + traceLine(chunk) + traceLine(token);
    const expected = { ...HEADER, steps: [chunk, token] };
    expect(parseTrace(text, "t")).toEqual(expected);
    expect(parseTrace(text.trimEnd(), "t")).toEqual(expected);
    expect(parseTrace(traceHeader(HEADER), "t").steps).toEqual([]);
  });

  it("has no row of the last layer in a step without logits", () => {
    const step = { ...chunk, layers: [chunk.layers[0]!, new Uint32Array(0)] };
    expect(parseTrace(traceHeader(HEADER) + traceLine(step), "t").steps).toEqual([step]);
  });

  it("tells decoding from a prompt: one token a sequence", () => {
    expect(decodes(token)).toBe(true);
    expect(decodes({ ...token, tokens: 2, sequences: 2 })).toBe(true);
    expect(decodes(chunk)).toBe(false);
  });
});

describe("a malformed trace is rejected with its line:", () => {
  const before = traceHeader(HEADER) + traceLine(token);
  const step = (json: unknown): string => before + JSON.stringify(json);
  const ids = (...layers: unknown[]): string => step({ tokens: 1, sequences: 1, ids: layers });
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["empty", "", /^t: line 1: expected an object of JSON .*found nothing/],
    ["not JSON", "hello\n", /line 1: expected an object of JSON/],
    ["a list", "[]\n", /line 1: expected an object, found \[\]/],
    ["another file of JSON", '{"name":"x"}\n', /line 1: "trace": expected 1, found nothing/],
    ["a later version", '{"trace":2}\n', /"trace": expected 1, found 2/],
    ["no model", '{"trace":1,"layers":2,"experts":4,"k":2}\n', /"model": expected a text, found nothing/],
    ["no layer", traceHeader({ ...HEADER, layers: 0 }), /"layers": expected a whole number from 1 to 1024, found 0/],
    ["layers beyond reason", traceHeader({ ...HEADER, layers: 1e9 }), /"layers": expected .* found 1000000000/],
    [
      "more chosen than there are",
      traceHeader({ ...HEADER, k: 5 }),
      /"k": expected a whole number from 1 to 4, found 5/,
    ],
    ["a line cut short", `${before}{"tokens":1,"sequ`, /line 3: .*remove its last line.*found \{"tokens/],
    ["an empty line", `${before}\n${traceLine(token)}`, /line 3: expected an object of JSON/],
    ["no tokens", step({ tokens: 0, sequences: 1, ids: [] }), /line 3: "tokens": expected .* found 0/],
    [
      "more sequences than tokens",
      step({ tokens: 1, sequences: 2, ids: [] }),
      /line 3: "sequences": expected 1, found 2/,
    ],
    ["a layer too few", ids([0, 1]), /line 3: "ids": expected lists for 2 layers/],
    ["no lists", ids(1, 2), /"ids" of layer 0: expected a list, found 1/],
    ["half a row", ids([0], [0, 1]), /"ids" of layer 0: expected 2 experts for each of 1 tokens, found \[0\]/],
    [
      "half a row of the last layer",
      ids([0, 1], [0]),
      /"ids" of layer 1: expected 2 experts for each of at most 1 tokens/,
    ],
    ["too many rows of the last layer", ids([0, 1], [0, 1, 2, 3]), /"ids" of layer 1: expected 2 experts/],
    ["an expert that is not there", ids([0, 4], [0, 1]), /layer 0, number 1: expected an expert from 0 to 3, found 4/],
    ["half an expert", ids([0, 0.5], [0, 1]), /layer 0, number 1: expected an expert from 0 to 3, found 0.5/],
    ["an expert twice", ids([0, 1], [2, 2]), /layer 1, number 1: expected different experts for a token, found 2/],
  ];
  it.each(cases)("%s", (_, text, message) => {
    expect(() => parseTrace(text, "t")).toThrow(RequestError);
    expect(() => parseTrace(text, "t")).toThrow(message);
  });

  it("or read, whatever is changed in it", () => {
    const text = traceHeader(HEADER) + traceLine(chunk) + traceLine(token);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ maxLength: 3 }), fc.nat(3), (at, insert, removed) => {
        try {
          parseTrace(text.slice(0, at) + insert + text.slice(at + removed), "t");
        } catch (error) {
          expect(error).toBeInstanceOf(RequestError);
        }
      }),
    );
  });
});

interface Reference {
  readonly prompts: readonly {
    readonly ids: number[];
    readonly top2_experts_last: number[][];
    readonly greedy_ids: number[];
  }[];
}

describe.each(backends)("onRoutes on $name", ({ options }) => {
  it("reports the reference's experts, one step for each chunk and token, and nothing else", async () => {
    const { prompts } = JSON.parse(readFileSync(inRepo("models/tales/reference.json"), "utf8")) as Reference;
    const { ids, top2_experts_last, greedy_ids } = prompts[0]!;
    const steps: RouteStep[] = [];
    const model = await open(inRepo("models/tales"), {
      ...options,
      weights: "f32",
      kv: "f32",
      context: 64,
      chunk: ids.length - 2,
      onRoutes: (step) => void steps.push(step),
    });
    try {
      expect(steps).toEqual([]); // no warm-up step
      const found: number[] = [];
      for await (const piece of model.session().generate(ids, { maxTokens: 3, temperature: 0 }))
        found.push(...piece.ids);
      expect(found).toEqual(greedy_ids.slice(0, 3));
      expect(steps.map(({ tokens, sequences }) => [tokens, sequences])).toEqual([
        [ids.length - 2, 1],
        [2, 1],
        [1, 1],
        [1, 1],
      ]);
      const layers = model.architecture.layers.length;
      const { count: experts, perToken: k } = model.architecture.layers[0]!.experts!;
      const rows = (step: RouteStep) => step.layers.map((layer) => layer.length / k);
      // The first chunk has no logits, so its last layer's experts are not needed. The second chunk
      // has those of one row.
      expect(rows(steps[0]!)).toEqual([...new Array(layers - 1).fill(ids.length - 2), 0]);
      expect(rows(steps[1]!)).toEqual([...new Array(layers - 1).fill(2), 1]);
      expect(rows(steps[2]!)).toEqual(new Array(layers).fill(1));
      expect(steps[1]!.layers.map((layer) => [...layer.slice(-k)])).toEqual(top2_experts_last);
      const header = { model: "m", layers, experts, k };
      expect(parseTrace(traceHeader(header) + steps.map(traceLine).join(""), "t").steps).toEqual(steps);
    } finally {
      await model.close();
    }
  });
});
