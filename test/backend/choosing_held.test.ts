// A chooser's place on the device is its own until the step that was begun with it is over,
// whatever the caller does with its list.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Chooser } from "../../src/backend/ops.ts";
import type { WebGpuOps } from "../../src/backend/webgpu/webgpu.ts";
import { createSampler } from "../../src/engine/sampler.ts";
import { NO_ADAPTER, noAdapter, usualAdapters } from "../support/adapters.ts";
import { range } from "../support/steps.ts";

/** A chooser of this backend. */
type Placed = Chooser & { readonly index: number };

describe.skipIf(noAdapter)(`choosers in steps${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  let ops: WebGpuOps;
  beforeAll(async () => {
    ops = await usualAdapters()[0]!.open({ maxTokens: 4 });
  });
  afterAll(() => ops?.close());

  it("keep their places where the list of a step before is used again", () => {
    const made = (): Placed => ops.choosing.create(createSampler({ temperature: 1 }, 97, []).chooser()) as Placed;
    const list = [made()];
    const begin = (): void =>
      ops.begin({
        tokens: new Uint32Array(1),
        positions: new Uint32Array(1),
        sequence: new Uint32Array(1),
        tables: [Uint32Array.of(0)],
        outputs: range(1),
        choosers: list,
      });
    begin();
    list[0]!.close();
    list[0] = made();
    begin();
    const [own] = list;
    own!.close(); // its step goes on
    const other = made();
    expect(other.index).not.toBe(own!.index);
    other.close();
  });
});
