// The KV cache of a backend, as the engine sees it.

import type { StateStore } from "./recurrent.ts";

/** The sizes of a position in the KV cache: keys and values [Hkv, Dh] of each layer. */
export interface KvGeometry {
  readonly layers: number; // L
  readonly kvHeads: number; // Hkv
  readonly headDim: number; // Dh
  /** Keys only: values are a part of them (Attention.latent). */
  readonly keysOnly?: boolean;
  /** Values of each state of a sequence (recurrent.ts); absent: the model has none. */
  readonly states?: readonly number[];
}

/**
 * Storage of keys and values in blocks of `blockSize` positions: [block, position in block, Hkv,
 * Dh] for each layer.
 */
export interface KvStore {
  readonly blockSize: number;
  readonly precision: "f32" | "f16";
  /** Blocks that exist now. */
  readonly blocks: number;
  /** An upper limit of blocks; absent: only memory limits them. */
  readonly maxBlocks?: number;
  /** Bytes of one block over all layers, keys and values. */
  readonly blockBytes: number;
  /** Beside keys and values, where the geometry has any; closed with them. */
  readonly states?: StateStore;
  /**
   * Ensures that block ids below `blocks` exist; keeps the contents of existing ones.
   * Only between steps.
   * @throws MemoryError if the backend cannot allocate them.
   */
  reserve(blocks: number): Promise<void>;
  /**
   * A block's contents, the same on every backend: for each layer its keys, then its
   * values where there are any, [blockSize, Hkv, Dh] each, as f32 or f16, little-endian. Only
   * between steps, like the following methods.
   * @throws RequestError for a block that does not exist
   */
  readBlock(id: number): Promise<Uint8Array>;
  /**
   * Writes contents returned by readBlock().
   * @throws RequestError for a missing block or another size
   */
  writeBlock(id: number, bytes: Uint8Array): Promise<void>;
  close(): void;
}
