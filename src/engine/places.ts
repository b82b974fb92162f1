// Where a model's bytes are: on the GPU, in RAM, on disk.

import type { BackendMemory, ModelStats, SpeculationStats } from "./api.ts";

/** Bytes of a model's weights, cache and scratch in each place. */
export interface Places {
  readonly gpu: number;
  readonly ram: number;
  /** Experts that are only there. */
  readonly disk: number;
}

type PlacedStats = Pick<ModelStats, "memory" | "experts" | "speculation">;

/**
 * @param main where steps are computed
 * @param all experts of all layers together
 */
export function placesOf(main: "gpu" | "ram", all: number, stats: PlacedStats): Places {
  const { memory, experts, speculation } = stats;
  const held = allBytes(memory);
  const draft = draftBytes(speculation);
  const places = (ram: number, disk: number): Places =>
    main === "gpu" ? { gpu: held, ram: ram + draft, disk } : { gpu: 0, ram: held + draft, disk };
  if (experts === null) return places(0, 0);
  const { recordBytes } = experts;
  let elsewhere = 0; // experts in RAM and not on the GPU
  let here = 0;
  for (const [layer, { residents }] of experts.main.layers.entries()) {
    here += residents.length;
    elsewhere += experts.ram?.layers[layer]?.residents.filter((expert) => !residents.includes(expert)).length ?? 0;
  }
  return places(elsewhere * recordBytes, (all - here - elsewhere) * recordBytes);
}

/** Bytes of a backend, whatever they are used for. */
export function allBytes({ weights, kv, scratch }: BackendMemory): number {
  return weights + kv + scratch;
}

/** Of a draft model, if there is one: in RAM, because the CPU computes it. */
export function draftBytes(speculation: SpeculationStats | null): number {
  return speculation?.draft ? allBytes(speculation.draft.memory) : 0;
}
