// Which tests `npx vitest related` takes for a file, and which run in a process of their own.

import { existsSync, readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { mayShare, relatedTests, testFiles } from "./setup/graph.ts";
import { inRepo } from "./support/fixtures.ts";

const sources = ["src", "kernels"].flatMap((folder) =>
  readdirSync(inRepo(folder), { recursive: true, encoding: "utf8" })
    .map((path) => `${folder}/${path.replaceAll("\\", "/")}`)
    .filter((path) => /\.(ts|wgsl)$/.test(path)),
);

describe("the tests that a file is judged by", () => {
  it("exist, whatever the file", () => {
    for (const path of sources) {
      const tests = relatedTests(path);
      expect(tests.length, path).toBeGreaterThan(0);
      for (const test of tests) expect(existsSync(inRepo(test)), test).toBe(true);
    }
  });

  it("are, for every kernel, tests of that kernel", () => {
    for (const path of sources.filter((source) => /^kernels\/[^/]+\.(wgsl|simd\.ts)$/.test(source)))
      for (const test of relatedTests(path)) expect(test, path).toMatch(/^test\/kernels\//);
  });

  it.each([
    ["src/engine/stop.ts", "test/engine/stop.test.ts", "test/engine/chat.test.ts"],
    ["src/chat/jinja/lexer.ts", "test/chat/jinja.test.ts", "test/server/real.test.ts"],
    ["src/cli/quantize.ts", "test/cli/quantize.test.ts", "test/cli/chat.test.ts"],
    ["src/backend/webgpu/dispatch/shader.ts", "test/backend/webgpu.test.ts", "test/model/tales.test.ts"],
    ["kernels/lib/team/reduce_tree.wgsl", "test/kernels/wgsl_attention.test.ts", "test/backend/webgpu.test.ts"],
    ["kernels/lib/silu.wgsl", "test/kernels/wgsl_twins.test.ts", "test/kernels/wgsl_ways.test.ts"],
    ["kernels/lib/matrix/tile_shared.wgsl", "test/kernels/wgsl_ways.test.ts", "test/kernels/wgsl_attention.test.ts"],
    ["kernels/matmul.simd.ts", "test/kernels/simd_twins.test.ts", "test/kernels/simd_attention.test.ts"],
    ["kernels/lib/attention/kv_f16.wgsl", "test/kernels/wgsl_attention.test.ts", "test/kernels/wgsl_group.test.ts"],
    ["kernels/lib/simd/attend.simd.ts", "test/kernels/simd_attention.test.ts", "test/kernels/simd_small.test.ts"],
    ["kernels/lib/simd/dot_relaxed.simd.ts", "test/kernels/simd_quantize.test.ts", "test/backend/cpu.test.ts"],
    ["kernels/rope.ts", "test/kernels/plain.test.ts", "test/backend/webgpu.test.ts"],
    ["test/engine/stop.test.ts", "test/engine/stop.test.ts", "test/engine/session.test.ts"],
  ])("of %s are %s and others, and not %s", (path, near, far) => {
    const tests = relatedTests(path);
    expect(existsSync(inRepo(path)) && existsSync(inRepo(far))).toBe(true);
    expect(tests).toContain(near);
    expect(tests).not.toContain(far);
  });
});

describe("a process of its own", () => {
  it("is for tests on adapters, of commands and pages, and for those that replace what others use", () => {
    const apart = testFiles().filter((test) => !mayShare(test));
    for (const test of [
      "backend/webgpu",
      "backend/cpu",
      "cli/usage",
      "browser/device",
      "grammar/threads",
      "weights/quantize_folder",
    ])
      expect(apart).toContain(`test/${test}.test.ts`);
    for (const test of ["engine/stop", "chat/jinja", "server/access"])
      expect(apart).not.toContain(`test/${test}.test.ts`);
  });
});
