// The set of measurements that `npm run bench` takes: which model, on which backend, at which precision and lengths.

import type { PackableName } from "../kernels/formats/index.ts";

export type Backend = "cpu" | "webgpu";

export interface Measurement {
  /** As "tales/cpu/q4/128": model, backend, precision, prompt tokens. */
  readonly name: string;
  /** What comes after `hotset bench`, --json apart. */
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
  // Two layers of true width: every kernel at its real size, in the time and memory of a laptop.
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

/** Where the GPU is a GPU. */
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

/** Where the GPU is computed on the CPU: says that it works, and little about speed. */
const SOFTWARE: readonly Row[] = [
  { model: "tales", backend: "webgpu", weights: ["f32", "q4"], promptTokens: LENGTHS, decodeTokens: 32, repeats: 1 },
];

const QUICK: readonly Row[] = [
  { model: "tales", backend: "cpu", weights: ["f32", "q4"], promptTokens: [32], decodeTokens: 16, repeats: 1 },
  { model: "tales", backend: "webgpu", weights: ["f32", "q4"], promptTokens: [32], decodeTokens: 16, repeats: 1 },
];

/** The measurements to take, in order. `hardware`: the WebGPU adapter is not computed on the CPU. */
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
