// The measurements of `npm run bench`: model, backend, format of the weights, and lengths.

import type { PackableName } from "../kernels/formats/index.ts";

export type Backend = "cpu" | "webgpu";

export interface Measurement {
  /** For example "tales/cpu/q4/128": model, backend, format, prompt tokens. */
  readonly name: string;
  /** Arguments of `hotset bench`, without --json. */
  readonly args: readonly string[];
}

interface Row {
  readonly model: "tales" | "8x7b";
  readonly backend: Backend;
  readonly weights: readonly PackableName[];
  readonly promptTokens: readonly number[];
  readonly decodeTokens: number;
  readonly repeats: number;
}

const MODELS = {
  tales: "models/tales",
  // Two layers of true width: every kernel at its real size, in a laptop's memory.
  "8x7b": "synthetic:mixtral-8x7b?layers=2&seed=1",
} as const;

const LENGTHS = [32, 128, 512];

const FULL: readonly Row[] = [
  {
    model: "tales",
    backend: "cpu",
    weights: ["f32", "f16", "q8", "q4"],
    promptTokens: LENGTHS,
    decodeTokens: 64,
    repeats: 3,
  },
  { model: "8x7b", backend: "cpu", weights: ["q8", "q4"], promptTokens: LENGTHS, decodeTokens: 24, repeats: 1 },
];

/** On a hardware adapter. */
const HARDWARE: readonly Row[] = [
  {
    model: "tales",
    backend: "webgpu",
    weights: ["f32", "f16", "q8", "q4"],
    promptTokens: LENGTHS,
    decodeTokens: 64,
    repeats: 3,
  },
  {
    model: "8x7b",
    backend: "webgpu",
    weights: ["f16", "q8", "q4"],
    promptTokens: LENGTHS,
    decodeTokens: 64,
    repeats: 3,
  },
];

/** On a software adapter, which shows that it works and little about speed. */
const SOFTWARE: readonly Row[] = [
  { model: "tales", backend: "webgpu", weights: ["f32", "q4"], promptTokens: LENGTHS, decodeTokens: 32, repeats: 1 },
];

const QUICK: readonly Row[] = [
  { model: "tales", backend: "cpu", weights: ["f32", "q4"], promptTokens: [32], decodeTokens: 16, repeats: 1 },
  { model: "tales", backend: "webgpu", weights: ["f32", "q4"], promptTokens: [32], decodeTokens: 16, repeats: 1 },
];

/**
 * The measurements to take, in order.
 * @param hardware whether the WebGPU adapter is a GPU
 */
export function suite(options: { readonly quick: boolean; readonly hardware: boolean }): Measurement[] {
  const rows = options.quick ? QUICK : [...FULL, ...(options.hardware ? HARDWARE : SOFTWARE)];
  return rows.flatMap((row) =>
    row.weights.flatMap((weights) =>
      row.promptTokens.map((promptTokens) => ({
        name: `${row.model}/${row.backend}/${weights}/${promptTokens}`,
        args: [
          MODELS[row.model],
          ...["--backend", row.backend],
          ...["--weights", weights],
          ...["--prompt-tokens", `${promptTokens}`],
          ...["--decode-tokens", `${row.decodeTokens}`],
          ...["--repeats", `${row.repeats}`],
        ],
      })),
    ),
  );
}
