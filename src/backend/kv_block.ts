// The contents of a KV block as they leave a backend and come back: what every store checks alike.

import { RequestError } from "../errors.ts";
import type { KvGeometry, KvStore } from "./ops.ts";

/** The bytes of one block as KvStore.readBlock() gives it. */
export function contentBytes(
  { layers, kvHeads, headDim }: KvGeometry,
  precision: "f32" | "f16",
  blockSize: number,
): number {
  return 2 * layers * blockSize * kvHeads * headDim * (precision === "f32" ? 4 : 2);
}

/**
 * @throws RequestError unless the block exists, and the bytes for it, where there are any, are as
 * many as it takes
 */
export function checkBlock(store: KvStore, id: number, content: number, bytes?: Uint8Array): void {
  if (!(Number.isInteger(id) && id >= 0 && id < store.blocks))
    throw new RequestError(`KV cache: block ${id} does not exist; ${store.blocks} are reserved`);
  if (bytes && bytes.length !== content)
    throw new RequestError(`KV cache: a block has ${content} bytes, found ${bytes.length}`);
}
