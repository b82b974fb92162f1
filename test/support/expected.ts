// What another implementation computed for a checkpoint: the tensors of its expected.safetensors,
// by name.

import { nodeFiles } from "../../src/weights/node_files.ts";
import { readSafetensorsHeader } from "../../src/weights/safetensors.ts";

export interface Expected {
  has(name: string): boolean;
  /** A tensor of F32. */
  floats(name: string): Promise<Float32Array>;
  /** A tensor of I32. */
  integers(name: string): Promise<Int32Array>;
}

export async function readExpected(folder: string, file = "expected.safetensors"): Promise<Expected> {
  const files = await nodeFiles(folder);
  const header = await readSafetensorsHeader(files, file);
  const bytes = async (name: string): Promise<ArrayBuffer> => {
    const { begin, end } = header.tensors.get(name)!;
    const into = new Uint8Array(end - begin);
    await files.read(file, begin, into);
    await files.close(); // until the next read
    return into.buffer;
  };
  return {
    has: (name) => header.tensors.has(name),
    floats: async (name) => new Float32Array(await bytes(name)),
    integers: async (name) => new Int32Array(await bytes(name)),
  };
}

/** Largest difference of two rows of logits, as a share of the largest expected one. */
export function worst(found: Float32Array, expected: Float32Array): number {
  if (found.length !== expected.length) throw new Error(`${found.length} numbers, expected ${expected.length}`);
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs(found[i]! - expected[i]!));
    size = Math.max(size, Math.abs(expected[i]!));
  }
  return difference / size;
}
