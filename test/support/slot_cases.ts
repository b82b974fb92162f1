// Sizes and formats of experts in slots, and what devices are made to be short of.

import type { WebGpuOptions } from "../../src/backend/webgpu/webgpu.ts";
import type { Sizes } from "./slots.ts";

export interface SlotCase extends Sizes {
  readonly what: string;
  readonly resident: readonly number[];
  readonly options?: Omit<WebGpuOptions, "maxTokens">;
}

export const SLOT_CASES: readonly SlotCase[] = [
  { what: "8 experts, top 2", E: 8, K: 2, D: 64, F: 112, slots: 4, transit: 2, precision: "f32", resident: [6, 1, 3] },
  {
    what: "odd sizes, 3 experts",
    E: 3,
    K: 2,
    D: 60,
    F: 50,
    slots: 2,
    transit: 1,
    precision: "q8",
    resident: [2],
    biased: true,
  },
  {
    what: "3 of 5 experts",
    E: 5,
    K: 3,
    D: 60,
    F: 50,
    slots: 3,
    transit: 3,
    precision: "f16",
    resident: [4, 0, 1],
    biased: true,
  },
  {
    what: "two stored formats",
    E: 5,
    K: 2,
    D: 288,
    F: 64,
    slots: 3,
    transit: 2,
    precision: "q4_k",
    down: "q6_k",
    resident: [1, 4],
  },
  { what: "none resident", E: 8, K: 2, D: 64, F: 112, slots: 2, transit: 2, precision: "q4", resident: [] },
  // Below an expert's gate and up (57 KB), above its w2: rows of one slot, and slots by twos.
  {
    what: "parts",
    E: 8,
    K: 2,
    D: 64,
    F: 112,
    slots: 5,
    transit: 3,
    precision: "f32",
    options: { maxWeightBytes: 60_000 },
    resident: [7, 2, 0],
  },
  {
    what: "parts of rows",
    E: 5,
    K: 2,
    D: 96,
    F: 470,
    slots: 3,
    transit: 2,
    precision: "q4",
    options: { maxWeightBytes: 25_000 },
    resident: [1, 4],
  },
  {
    what: "activations in int8",
    E: 8,
    K: 2,
    D: 64,
    F: 112,
    slots: 4,
    transit: 2,
    precision: "q8",
    options: { arithmetics: ["int8"], tile: "int8" },
    resident: [5, 0],
  },
];
