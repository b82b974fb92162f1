// Opens the weights that a measurement names: a folder, or a synthetic model.

import { bindSources, readArchitecture } from "../src/model/families/index.ts";
import type { Architecture, ModelSources } from "../src/model/family.ts";
import { openFolder } from "../src/weights/folder.ts";
import { nodeFolderOrFile } from "../src/weights/node_files.ts";
import { isSynthetic, parseSynthetic } from "../src/weights/synthetic.ts";

export interface OpenWeights {
  readonly architecture: Architecture;
  readonly sources: ModelSources;
  close(): Promise<void>;
}

/** @param where a folder, a GGUF file, or `synthetic:...` @throws WeightsError, RequestError */
export async function openWeights(where: string): Promise<OpenWeights> {
  const input = isSynthetic(where) ? { ...parseSynthetic(where), close: async () => {} } : await openPath(where);
  try {
    const architecture = readArchitecture(input.config, where);
    return { architecture, sources: bindSources(architecture, input.source), close: () => input.close() };
  } catch (error) {
    await input.close();
    throw error;
  }
}

async function openPath(where: string) {
  const { files, file } = await nodeFolderOrFile(where);
  return openFolder(files, file);
}
