// The prediction of the next layer's experts: its router, for rows as the layer before norms them.

import { expect, it } from "vitest";
import { layerPrediction } from "../../src/experts/prediction.ts";
import { SIGMOID, SOFTMAX } from "../../src/tensor/route_rule.ts";
import { memorySource, withBias } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import * as reference from "../support/reference.ts";

const [E, D, K] = [12, 18, 3];

it.each([false, true])("is what the next router chooses for the same residual, with biases: %s", async (biased) => {
  const added = uniform(E, 8, 2);
  const bias = uniform(E, 9, 0.7);
  const layers = [0, 1].map((i) => {
    const norm = uniform(D, 1 + i).map((w) => w + 2);
    const gate = uniform(E * D, 3 + i);
    const source = (name: string, data: Float32Array, rows: number) =>
      memorySource(name, data, rows, data.length / rows);
    const gateBias = biased ? source("bias", bias, 1) : null;
    return {
      norm,
      weights: gate,
      ffnNorm: source("norm", norm, 1),
      gate: biased ? withBias(source("gate", gate, E), added) : source("gate", gate, E),
      gateBias,
    };
  });
  const [first, next] = layers as [(typeof layers)[0], (typeof layers)[0]];
  const predict = await layerPrediction(layers, K, biased ? SIGMOID : SOFTMAX);
  const rule: reference.Rule = {
    score: biased ? "sigmoid" : "softmax",
    bias: biased ? bias : null,
    logitsBias: biased ? added : null,
  };
  for (let seed = 20; seed < 30; seed++) {
    const residual = uniform(D, seed);
    const x = Float32Array.from(reference.rmsNorm(residual, first.norm, 0));
    const wanted = reference.route(reference.rmsNorm(residual, next.norm, 0), next.weights, D, K, rule);
    expect(predict(0, x)).toEqual(wanted.ids);
  }
  expect(predict(1, new Float32Array(D))).toEqual([]); // there is no layer after the last
});

it("goes over layers between", async () => {
  const layers = [0, 1, 2].map((i) => {
    const [norm, weights] = [uniform(D, 1 + i).map((w) => w + 2), uniform(E * D, 4 + i)];
    return { norm, weights, ffnNorm: memorySource("norm", norm, 1, D), gate: memorySource("gate", weights, E, D) };
  });
  const predict = await layerPrediction(layers, K, SOFTMAX);
  const residual = uniform(D, 20);
  const x = Float32Array.from(reference.rmsNorm(residual, layers[0]!.norm, 0));
  const { norm, weights } = layers[2]!;
  expect(predict(0, x, 2)).toEqual(reference.route(reference.rmsNorm(residual, norm, 0), weights, D, K).ids);
  expect(predict(1, x, 2)).toEqual([]);
});

it("goes from one LayerNorm to the next", async () => {
  const norms = [1, 2].map((seed) => ({ w: uniform(D, seed).map((w) => w + 2), b: uniform(D, seed + 2) }));
  const weights = uniform(E * D, 5);
  const layers = norms.map(({ w, b }) => ({
    gate: memorySource("gate", weights, E, D),
    ffnNorm: { ...memorySource("norm", w, 1, D), bias: memorySource("bias", b, 1, D) },
  }));
  const predict = await layerPrediction(layers, K, SOFTMAX);
  const [first, next] = norms as [(typeof norms)[0], (typeof norms)[0]];
  for (let seed = 20; seed < 30; seed++) {
    const residual = uniform(D, seed);
    const x = Float32Array.from(reference.layerNorm(residual, first.w, first.b, 0));
    const wanted = reference.route(reference.layerNorm(residual, next.w, next.b, 0), weights, D, K);
    expect(predict(0, x)).toEqual(wanted.ids);
  }
});

it("counts all rows of a step, first choices most", async () => {
  const ones = memorySource("norm", Float32Array.of(1, 1), 1, 2);
  const gate = (...weights: number[]) => memorySource("gate", Float32Array.from(weights), weights.length / 2, 2);
  const layers = [gate(0, 0, 0, 0, 0, 0), gate(1, 0, 0, 1, 2, 0)].map((gate) => ({ gate, ffnNorm: ones }));
  const predict = await layerPrediction(layers, 1, SOFTMAX);
  expect(predict(0, Float32Array.of(0, 1, 1, 0, 1, 0))).toEqual([2, 1]);
});
