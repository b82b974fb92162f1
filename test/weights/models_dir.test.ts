import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { modelsIn } from "../../src/index.ts";

function folderWith(...files: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "hotset-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const file of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), "");
  }
  return folder;
}

it.each<[string, string[], Record<string, string>]>([
  ["a folder of weights", ["a/config.json", "a/model.safetensors"], { a: "a" }],
  ["GGUF files, without their ending", ["a.Q4_K_M.gguf", "b.GGUF"], { "a.Q4_K_M": "a.Q4_K_M.gguf", b: "b.GGUF" }],
  ["a split GGUF model once", ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"], { m: "m-00001-of-00002.gguf" }],
  [
    "a folder of one GGUF model has its name",
    ["x/m-00001-of-00002.gguf", "x/m-00002-of-00002.gguf"],
    { x: "x/m-00001-of-00002.gguf" },
  ],
  ["several in a folder", ["x/a.gguf", "x/b.gguf"], { "x/a": "x/a.gguf", "x/b": "x/b.gguf" }],
  [
    "publishers and repositories",
    ["owner/one/config.json", "owner/two/m.Q4.gguf", "owner/two/m.Q8.gguf"],
    { "owner/one": "owner/one", "owner/two/m.Q4": "owner/two/m.Q4.gguf", "owner/two/m.Q8": "owner/two/m.Q8.gguf" },
  ],
  [
    "nothing else",
    [".hidden/config.json", "notes.txt", "x/mmproj-f16.gguf", "x/m.gguf", "y/m.imatrix.gguf", "a/b/c/d/config.json"],
    { x: "x/m.gguf" },
  ],
])("%s", async (_, files, expected) => {
  const folder = folderWith(...files);
  const found = await modelsIn(folder);
  expect(Object.fromEntries(found.map(({ name, path }) => [name, path]))).toEqual(
    Object.fromEntries(Object.entries(expected).map(([name, path]) => [name, join(folder, path)])),
  );
});

it("follows links, and passes over broken ones", async () => {
  const [folder, other] = [folderWith(), folderWith("m/config.json")];
  symlinkSync(join(other, "m"), join(folder, "linked"));
  symlinkSync(join(other, "gone"), join(folder, "broken"));
  expect(await modelsIn(folder)).toEqual([{ name: "linked", path: join(folder, "linked") }]);
});

it("a folder that is not there is named", async () => {
  await expect(modelsIn("/no/such/folder")).rejects.toThrow(/^\/no\/such\/folder: expected a folder of models/);
});
