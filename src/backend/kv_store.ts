// The KV cache of a backend, as the engine sees it.

import type { StateStore } from "./recurrent.ts";

/**
 * How keys and values are cached; q8: int8 in groups of 32, keys rotated
 * (kernels/append_q8.ts).
 */
export type KvPrecision = "f32" | "f16" | "q8";

/** The sizes of a position in the KV cache: keys and values [Hkv, Dh] of each layer. */
export interface KvGeometry {
  readonly layers: number; // L
  readonly kvHeads: number; // Hkv
  readonly headDim: number; // Dh
  /** Keys only: values are a part of them (Attention.latent). */
  readonly keysOnly?: boolean;
  /** Values of each state of a sequence (recurrent.ts); absent: the model has none. */
  readonly states?: readonly number[];
  /** Layers that keep only what a window shows; absent: all keep every position. */
  readonly windows?: {
    /** Positions that they see, the token's own included. */
    readonly positions: number;
    /** [L] whether a layer is one of them. */
    readonly layers: readonly boolean[];
  };
}

/**
 * Panes: what the layers with a window keep of a block, in places of their own. A block that no
 * sequence sees through its window needs none, and these layers must not read it then.
 */
export interface PaneStore {
  /** KvGeometry.windows.positions */
  readonly window: number;
  /** Panes that exist now. */
  readonly panes: number;
  /** An upper limit of panes; absent: only memory limits them. */
  readonly maxPanes?: number;
  /** Bytes of a pane over all layers that have them. */
  readonly paneBytes: number;
  /**
   * Ensures that panes below `panes` exist; keeps the contents of existing ones. Only between
   * steps.
   * @throws MemoryError if the backend cannot allocate them
   */
  reserve(panes: number): Promise<void>;
  /**
   * The pane of a block from the next begin() with a batch on; null: none. Contents stay with the
   * pane.
   */
  assign(block: number, pane: number | null): void;
}

/**
 * Storage of keys and values in blocks of `blockSize` positions: [block, position in block, Hkv,
 * Dh] for each layer.
 */
export interface KvStore {
  readonly blockSize: number;
  readonly precision: KvPrecision;
  /** Blocks that exist now. */
  readonly blocks: number;
  /** An upper limit of blocks; absent: only memory limits them. */
  readonly maxBlocks?: number;
  /** Bytes of one block, keys and values of all layers that keep it: 0 where all have panes. */
  readonly blockBytes: number;
  /** Where the geometry has windows. */
  readonly panes?: PaneStore;
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
   * values where there are any, [blockSize, Hkv, Dh] each, as f32 or f16, little-endian, or as
   * rows of q8; zeros where the block has no pane. Only between steps, like the following methods.
   * @throws RequestError for a block that does not exist
   */
  readBlock(id: number): Promise<Uint8Array>;
  /**
   * Writes contents returned by readBlock(), those of a pane if the block has one.
   * @throws RequestError for a missing block or another size
   */
  writeBlock(id: number, bytes: Uint8Array): Promise<void>;
  close(): void;
}
