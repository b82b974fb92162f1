// Dawn looks for finished work in every turn of Node's event loop; on a software adapter it pauses
// between two looks, and what else uses setImmediate goes on as before.

import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openNodeGpu } from "../../src/backend/webgpu/device/node_gpu.ts";
import { pausePolling } from "../../src/backend/webgpu/device/node_polling.ts";
import { turn } from "../../src/turn.ts";
import { adapters, NO_ADAPTER } from "../support/adapters.ts";

/** A native function like Dawn's, without a name and parameters. */
const native = (): (() => void) => Proxy.revocable({}, {}).revoke;

describe("polling of a software adapter", () => {
  const original = globalThis.setImmediate;
  let immediates: unknown[];
  let ends: (() => Promise<void>)[];
  beforeEach(() => {
    [immediates, ends] = [[], []];
    // A machine that stands still for a while between two looks would begin anew.
    vi.spyOn(performance, "now").mockReturnValue(0);
    const counted = (callback: () => void, ...args: unknown[]) => {
      immediates.push(callback);
      return (original as (...all: unknown[]) => NodeJS.Immediate)(callback, ...args);
    };
    globalThis.setImmediate = Object.assign(counted, {
      __promisify__: original.__promisify__,
      [promisify.custom]: promisify(original),
    }) as typeof setImmediate;
  });
  afterEach(async () => {
    await Promise.all(ends.map((end) => end()));
    globalThis.setImmediate = original;
    vi.restoreAllMocks();
  });
  const pause = () => {
    const end = pausePolling();
    ends.push(end);
    return end;
  };

  it("looks without a pause at first, and then by timers", () => {
    const timers = vi.spyOn(globalThis, "setTimeout");
    pause();
    const looks = Array.from({ length: 100 }, native);
    for (const look of looks) setImmediate(look);
    expect(immediates.length).toBeGreaterThan(10);
    expect(immediates.length).toBeLessThan(50);
    expect(timers).toHaveBeenCalledTimes(looks.length - immediates.length);
  });

  it("leaves other callbacks alone, promises and promisify too", async () => {
    const timers = vi.spyOn(globalThis, "setTimeout");
    pause();
    for (let i = 0; i < 100; i++) setImmediate(native());
    timers.mockClear();
    const ran: number[] = [];
    await new Promise<void>((resolve) => {
      for (let i = 0; i < 100; i++) setImmediate((n: number) => void ran.push(n), i);
      setImmediate(() => resolve());
    });
    await turn();
    await promisify(setImmediate)();
    expect(ran).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(timers).not.toHaveBeenCalled();
  });

  it("ends when no look waits any more", async () => {
    const order: string[] = [];
    const looks = vi.fn(() => void order.push("look"));
    // As a native function looks to the code under test.
    Object.defineProperties(looks, { name: { value: "" }, length: { value: 0 } });
    vi.spyOn(Function.prototype, "toString").mockReturnValue("function () { [native code] }");
    const end = pause();
    for (let i = 0; i < 60; i++) setImmediate(looks);
    vi.mocked(Function.prototype.toString).mockRestore();
    await end().then(() => order.push("end"));
    expect(order).toEqual([...Array<string>(60).fill("look"), "end"]);
  });

  it("ends with the last of those that overlap, and keeps what came into its place", () => {
    const before = globalThis.setImmediate;
    const [first, second] = [pause(), pause()];
    void first();
    void first();
    expect(globalThis.setImmediate).not.toBe(before);
    void second();
    expect(globalThis.setImmediate).toBe(before);
    const third = pause();
    const other = ((callback: () => void) => original(callback)) as typeof setImmediate;
    globalThis.setImmediate = other;
    void third();
    expect(globalThis.setImmediate).toBe(other);
  });

  it.skipIf(adapters.length === 0)(
    `is what Dawn asks for its next turn, until the adapter is released${adapters.length === 0 ? `: ${NO_ADAPTER}` : ""}`,
    async () => {
      const before = globalThis.setImmediate;
      const node = (await openNodeGpu(adapters[0]!.name))!;
      expect(node.software).toBe(true);
      expect(globalThis.setImmediate).not.toBe(before);
      const device = await (await node.gpu.requestAdapter())!.requestDevice();
      const timers = vi.spyOn(globalThis, "setTimeout");
      // A loop that no driver has seen before, so that it is compiled.
      const code = `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
          for (var k = 0u; k < 50000u; k++) { x[i] = sin(x[i] + ${Math.random()}); }
        }`;
      const compute = { module: device.createShaderModule({ code }) };
      const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute });
      const buffer = device.createBuffer({ size: 256, usage: 0x80 });
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      const entries = [{ binding: 0, resource: { buffer } }];
      pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
      pass.dispatchWorkgroups(64);
      pass.end();
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
      expect(timers.mock.calls.filter(([callback]) => callback.name === "").length).toBeGreaterThan(0);
      device.destroy();
      await node.release();
      expect(globalThis.setImmediate).toBe(before);
    },
  );
});
