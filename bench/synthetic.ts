// Synthetic models for measurements, where no file can be read too.

import { bindSources, readArchitecture } from "../src/model/families/index.ts";
import type { Architecture, ModelSources } from "../src/model/family.ts";
import type { WeightSource } from "../src/tensor/types.ts";
import { parseSynthetic } from "../src/weights/synthetic.ts";

export interface OpenWeights {
  readonly architecture: Architecture;
  readonly sources: ModelSources;
  close(): Promise<void>;
}

interface Input {
  readonly config: unknown;
  readonly source: WeightSource;
  close(): Promise<void>;
}

/** A model's sources by its family. @param where for messages @throws WeightsError */
export function bound(input: Input, where: string): OpenWeights {
  const architecture = readArchitecture(input.config, where);
  return { architecture, sources: bindSources(architecture, input.source), close: () => input.close() };
}

/** @param where `synthetic:...` @throws RequestError, WeightsError */
export function openSynthetic(where: string): OpenWeights {
  return bound({ ...parseSynthetic(where), close: async () => {} }, where);
}
