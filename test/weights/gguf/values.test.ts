import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readGgufHeader } from "../../../src/weights/gguf/container.ts";
import { Texts } from "../../../src/weights/gguf/metadata.ts";
import { ggufSource } from "../../../src/weights/gguf/source.ts";
import { readParts } from "../../../src/weights/gguf/split.ts";
import { GGML_TYPES } from "../../../src/weights/gguf/types.ts";
import { nodeFiles } from "../../../src/weights/node_files.ts";
import { inRepo, inShared, titled } from "../../support/fixtures.ts";

interface Expected {
  readonly file: string | readonly string[];
  readonly gguf_version: number;
  readonly endian: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly tensors: readonly {
    readonly name: string;
    readonly type: string;
    readonly dims: readonly number[];
    readonly raw_sha256: string;
    readonly f32_sha256: string;
  }[];
}

const there = inShared("fixtures/gguf");
const names = there.skip === null ? readdirSync(there.path).filter((name) => name.endsWith(".expected.json")) : [];
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

it("the README names every type that is computed with, and its bits", () => {
  const rows = [...GGML_TYPES.values()].flatMap(({ name, elements, bytes, format }) => {
    if (format === null) return [];
    const packed = format.planes.reduce((sum, plane) => sum + plane.bytes, 0);
    return [`| ${name} | ${format.name} | ${(8 * bytes) / elements} | ${(8 * packed) / format.group} |`];
  });
  const readme = readFileSync(inRepo("src/weights/README.md"), "utf8");
  const table = [...readme.matchAll(/^\| [A-Z\d_]+ \| [a-z\d_]+ \| [\d.]+ \| [\d.]+ \|$/gm)].map(([row]) => row);
  expect(table.toSorted()).toEqual(rows.toSorted());
});

describe.skipIf(there.skip !== null)(titled("files of llama.cpp's converter and quantizer", there.skip), () => {
  it("are all here", () => expect(names.length).toBe(22));

  it.each(names)("%s: metadata, and every tensor's bytes and values", async (name) => {
    const expected = JSON.parse(readFileSync(`${there.path}/${name}`, "utf8")) as Expected;
    if (expected.endian !== "little") return; // refused by name: container.test.ts
    const files = await nodeFiles(there.path);
    const headers = await readParts(files, [expected.file].flat().at(-1)!);
    const { metadata, version } = headers[0]!;
    expect(version).toBe(expected.gguf_version);
    for (const [key, value] of Object.entries(expected.metadata)) {
      const found = metadata.raw(key);
      if (found === undefined) expect(key).toMatch(/^GGUF\./);
      else if (found.kind !== "array") {
        if (typeof value === "number") expect(found.value).toBeCloseTo(value, 6);
        else expect(found.value).toEqual(value);
      } else {
        const all = found.value instanceof Texts ? found.value.decode() : Array.from(found.value, Number);
        const { len, first } = Array.isArray(value)
          ? { len: value.length, first: value }
          : (value as { len: number; first: unknown[] });
        expect(all.length).toBe(len);
        expect(all.slice(0, first.length)).toEqual(first);
      }
    }
    const places = new Map(
      headers.flatMap(({ file, tensors }) =>
        [...tensors].map(([own, tensor]) => [own, { file, tensor, shape: tensor.shape, firstRow: 0, headRows: 0 }]),
      ),
    );
    expect([...places.keys()].sort()).toEqual(expected.tensors.map((tensor) => tensor.name).sort());
    const source = ggufSource("x", files, places);
    for (const { name, type, dims, raw_sha256, f32_sha256 } of expected.tensors) {
      const matrix = source.matrix(name);
      const { tensor } = places.get(name)!;
      expect([name, tensor.type.name, ...tensor.shape.toReversed()]).toEqual([name, type, ...dims]);
      const raw = new Uint8Array(tensor.end - tensor.begin);
      await matrix.readBlocks!(0, matrix.rows, raw);
      expect([name, sha256(raw)]).toEqual([name, raw_sha256]);
      const values = new Float32Array(matrix.rows * matrix.cols);
      await matrix.readRows(0, matrix.rows, values);
      expect([name, sha256(new Uint8Array(values.buffer))]).toEqual([name, f32_sha256]);
    }
    await files.close();
  });

  it("of version 2 has the tensors of its twin of version 3", async () => {
    const files = await nodeFiles(there.path);
    const [two, three] = await Promise.all(
      ["t2-Q4_0-v2.gguf", "t2-Q4_0.gguf"].map((name) => readGgufHeader(files, name)),
    );
    await files.close();
    expect([two!.version, three!.version]).toEqual([2, 3]);
    expect([...two!.tensors.keys()]).toEqual([...three!.tensors.keys()]);
  });
});
