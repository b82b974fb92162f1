import { describe, expect, it } from "vitest";
import type { Batch, Choosing, Ops } from "../../src/backend/ops.ts";
import { warmUp } from "../../src/engine/warm_up.ts";
import type { Tensor } from "../../src/tensor/types.ts";

const TENSOR = { shape: [1, 16] } as unknown as Tensor;

/** What warmUp() asks of a backend, as text; the ids of a step come a turn later. */
async function asked(positions: number, chooses: boolean): Promise<string[]> {
  const said: string[] = [];
  const choosing: Choosing = {
    create: ({ temperature }) => {
      said.push(`chooser at ${temperature}`);
      return { close: () => said.push("closed") };
    },
    choose: async () => {
      said.push("choose");
      return Uint32Array.of(3);
    },
  };
  const ops: Pick<Ops, "maxTokens" | "read" | "choosing"> = {
    maxTokens: 128,
    read: async () => {
      said.push("read");
      return new Float32Array(16);
    },
    ...(chooses ? { choosing } : {}),
  };
  const forward = async (batch: Batch | "next"): Promise<Tensor> => {
    if (batch === "next") said.push("next");
    else {
      expect(batch.tables[0]!.length * 32).toBeGreaterThanOrEqual(positions);
      said.push(`${batch.tokens.length} tokens`);
    }
    return TENSOR;
  };
  await warmUp(ops as Ops, forward, 16, 32, positions);
  return said;
}

describe("warm-up", () => {
  const forms = ["1 tokens", "read", "2 tokens", "read", "32 tokens", "read", "1 tokens", "read"];
  const ahead = ["1 tokens", "choose", ...["next", "choose", "next", "choose", "next", "choose"]];

  it("computes a token, two, a chunk and a late token", async () => {
    expect(await asked(512, false)).toEqual(forms);
  });

  it("and further numbers of tokens, with logits of no more rows than a step may have", async () => {
    const rows: [number, number][] = [];
    const ops: Pick<Ops, "maxTokens" | "read"> = { maxTokens: 128, read: async () => new Float32Array(1) };
    const forward = async (batch: Batch | "next"): Promise<Tensor> => {
      if (batch !== "next") rows.push([batch.tokens.length, batch.outputs.length]);
      return TENSOR;
    };
    await warmUp(ops as Ops, forward, 2 ** 22, 32, 512, [3, 64, 200]); // 4 rows of 2^22 logits
    expect(rows.slice(0, 2)).toEqual([
      [64, 4],
      [3, 3],
    ]);
  });

  it("and, on a backend that chooses, as many steps as may be in flight", async () => {
    const both = [0, 1].flatMap((temperature) => [`chooser at ${temperature}`, ...ahead, "closed"]);
    expect(await asked(512, true)).toEqual([...forms, ...both]);
  });

  it("takes no position that the cache has no room for", async () => {
    expect(await asked(2, true)).toEqual([
      ...["1 tokens", "read", "2 tokens", "read", "1 tokens", "read"],
      ...[0, 1].flatMap((t) => [`chooser at ${t}`, "1 tokens", "choose", "next", "choose", "closed"]),
    ]);
  });
});
