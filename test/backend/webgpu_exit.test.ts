// A process that used the WebGPU backend ends by itself. In Node only: what the backend does in any
// host is webgpu_device.test.ts.

import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { HUNG } from "../support/patience.ts";

describe.skipIf(noAdapter)(`webgpu process${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  if (adapters.length === 0) it("needs an adapter", () => Promise.reject(new Error(NO_ADAPTER)));
  for (const adapter of adapters)
    it(`on ${adapter.name}: exits by itself after close(), in the middle of a step too`, () => {
      const script = `
      import { FORMATS } from "./dist/kernels/formats/index.js";
      import { createWebGpuOps } from "./dist/src/backend/webgpu/webgpu.js";
      import { openNodeGpu } from "./dist/src/backend/webgpu/device/node_gpu.js";
      let got;
      for (let round = 0; round < 6; round++) {
      const node = await openNodeGpu(${JSON.stringify(adapter.name)});
      const ops = await createWebGpuOps(node.gpu, { maxTokens: 4 });
      const rows = async (first, count, into) => into.fill(2);
      const table = await ops.loadMatrix({ name: "t", rows: 8, cols: 32, readRows: rows }, FORMATS.f32);
      const batch = { tokens: [3], positions: [0], sequence: [0], tables: [[0]], outputs: [0] };
      ops.begin(batch);
      got = await ops.read(ops.embed(table));
      ops.begin(batch);
      const cut = ops.read(ops.embed(table)).catch((error) => error.name);
      ops.close();
      await node.release();
      if ((await cut) !== "RequestError") throw new Error("a step outlived close()");
      }
      console.log(got[0], got.length);
    `;
      const run = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
        cwd: new URL("../../", import.meta.url),
        encoding: "utf8",
        timeout: HUNG,
      });
      expect({ status: run.status, stdout: run.stdout.trim() }).toEqual({ status: 0, stdout: "2 32" });
    });
});
