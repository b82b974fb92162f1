// Memory of models that were closed: a process that opens one after the other does not keep them.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { HUNG } from "../support/patience.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

const SCRIPT = `
  import { open } from "./dist/src/index.js";
  const kept = [];
  for (let i = 0; i < 10; i++) {
    const model = await open("models/tales", { backend: "cpu", weights: "f32", threads: 2 });
    for await (const piece of model.session().generate("Once", { maxTokens: 2, temperature: 0 }));
    await model.close();
    kept.push(model); // a leaked handle
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  // The system takes a thread's memory back when that has ended: a while on a busy machine.
  while (process.memoryUsage.rss() >= 450e6) await new Promise((resolve) => setTimeout(resolve, 20));
  console.log(process.memoryUsage.rss());
`;

it("closing a model gives its memory back, also while its handle is kept", () => {
  const options = { cwd: root, encoding: "utf8", timeout: HUNG } as const;
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", SCRIPT], options);
  // 10 models of 90 MB are 900 MB, which the process would wait for until it counts as hung.
  expect(Number(stdout), stderr).toBeGreaterThan(50e6);
});
