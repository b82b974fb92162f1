// Every SIMD kernel that a forward pass goes through against its plain twin, with each instruction
// set that runs here.

import { afterAll, beforeAll, describe } from "vitest";
import type { Ops } from "../../src/backend/ops.ts";
import { cpuInstructions, cpuOps } from "../support/cpu.ts";
import { some } from "../support/some.ts";
import { MAX_TOKENS, TWINS, twins, wanted } from "./twins.ts";

// What the steps go through: embed, rmsNorm, quantizedBytes, quantize, matmul, qkNorm, rope,
// append, attention, expertUp, expertDown, addWeighted, add, rows; and pack, weave when
// weights are loaded.

const builds = cpuInstructions().filter((name) => name !== "plain");

describe.each(some(builds, 1))("%s: as the plain kernels", (instructions) => {
  let ops: Ops;
  beforeAll(async () => {
    ops = await cpuOps({ maxTokens: MAX_TOKENS, instructions, threads: 1 });
  });
  afterAll(() => ops?.close());

  twins(
    () => ops,
    (_, run) => run(),
    wanted(TWINS),
  );
});
