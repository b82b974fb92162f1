// Opens the weights that a measurement names: a folder, or a synthetic model.

import { openFolder } from "../src/weights/folder.ts";
import { nodeFolderOrFile } from "../src/weights/node_files.ts";
import { isSynthetic } from "../src/weights/synthetic.ts";
import { bound, type OpenWeights, openSynthetic } from "./synthetic.ts";

/** @param where a folder, a GGUF file, or `synthetic:...` @throws WeightsError, RequestError */
export async function openWeights(where: string): Promise<OpenWeights> {
  if (isSynthetic(where)) return openSynthetic(where);
  const { files, file } = await nodeFolderOrFile(where);
  const input = await openFolder(files, file);
  try {
    return bound(input, where);
  } catch (error) {
    await input.close();
    throw error;
  }
}
