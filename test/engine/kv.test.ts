import { describe, expect, it } from "vitest";
import type { KvStore } from "../../src/backend/ops.ts";
import { createBlockPool } from "../../src/engine/kv.ts";

describe("a block pool over a store that has blocks already", () => {
  it("hands out those before it asks for more", async () => {
    let blocks = 2;
    const reserved: number[] = [];
    const store: KvStore = {
      blockSize: 4,
      precision: "f32",
      blockBytes: 100,
      get blocks() {
        return blocks;
      },
      async reserve(n) {
        reserved.push(n);
        blocks = Math.max(blocks, n);
      },
      readBlock: async () => new Uint8Array(0),
      writeBlock: async () => {},
      close() {},
    };
    const pool = createBlockPool(store, 300);
    const sequence: number[] = [];
    await pool.grow(sequence, 8);
    expect({ sequence, reserved }).toEqual({ sequence: [0, 1], reserved: [] });
    await pool.grow(sequence, 12);
    expect({ sequence, reserved }).toEqual({ sequence: [0, 1, 2], reserved: [3] });
    await expect(pool.grow([], 1)).rejects.toThrow("16 positions are needed over all sessions");
  });
});
