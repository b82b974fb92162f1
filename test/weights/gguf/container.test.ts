import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WeightsError } from "../../../src/errors.ts";
import { type GgufHeader, readGgufHeader } from "../../../src/weights/gguf/container.ts";
import { httpFiles } from "../../../src/weights/http_files.ts";
import { inShared, titled } from "../../support/fixtures.ts";
import { memoryFiles } from "../memory_files.ts";
import { Bytes, type Given, ggufFile, type MadeFile, type MadeTensor } from "./make_gguf.ts";

const read = (file: Uint8Array, reads: [string, number, number][] = []): Promise<GgufHeader> =>
  readGgufHeader(memoryFiles({ "x.gguf": file }, reads), "x.gguf");

const errorOf = async (file: Uint8Array): Promise<string> => {
  const error = await read(file).then(
    () => null,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(WeightsError);
  expect((error as Error).message).toContain("x.gguf");
  return (error as Error).message;
};

const bad = inShared("fixtures/gguf-bad");
const verdicts =
  bad.skip === null
    ? (
        JSON.parse(readFileSync(`${bad.path}/cases.json`, "utf8")) as {
          cases: { name: string; file: string; expect: string }[];
        }
      ).cases
    : [];

describe.skipIf(bad.skip !== null)(titled("llama.cpp's verdicts", bad.skip), () => {
  it("has all its files", () => expect(verdicts.length).toBe(15));
  it.each(verdicts)("$name: $expect", async ({ file, expect: verdict }) => {
    const bytes = new Uint8Array(readFileSync(`${bad.path}/${file}`));
    if (verdict === "reject") await errorOf(bytes);
    else await read(bytes);
  });
});

const F32 = 0;
const tensor = (name: string, dims: readonly (number | bigint)[] = [4], type = F32): MadeTensor => ({
  name,
  dims,
  type,
});
const key = (name: string, ...given: Given): readonly [string, Given] => [name, given];
const two = [tensor("a"), tensor("b", [8, 3])];

// The cases of llama.cpp's tests/test-gguf.cpp, with its verdicts.
const handcrafted: readonly (readonly [string, MadeFile, RegExp | null])[] = [
  ["HEADER_BAD_MAGIC", { magic: "FUGG" }, /found 46 55 47 47/],
  ["HEADER_BAD_VERSION_0", { version: 0 }, /GGUF version 0/],
  ["HEADER_BAD_VERSION_1", { version: 1 }, /GGUF version 1; .*August 2023/],
  ["HEADER_BAD_VERSION_FUTURE", { version: 4 }, /GGUF version 4; .*up to date/],
  ["HEADER_BAD_N_TENSORS", { counts: { tensors: -1n } }, /tensors are claimed/],
  ["HEADER_BAD_N_KV", { counts: { keys: -1n } }, /keys are claimed/],
  ["HEADER_EMPTY", {}, null],
  ["KV_EMPTY_KEY", { keys: [key("", "u8", 1)] }, /key 0 of 1 is empty/],
  ["KV_BAD_TYPE", { keys: [key("k", 13, 0)] }, /of kind 13/],
  ["KV_BAD_TYPE in an array", { keys: [key("k", "array", 13, [0])] }, /of kind 13/],
  ["KV_DUPLICATE_KEY", { keys: [key("k", "u8", 1), key("k", "u8", 2)] }, /"k" is there twice/],
  ["KV_BAD_ALIGN", { keys: [key("general.alignment", "u32", 13)] }, /power of two/],
  ["KV_BAD_ALIGN, zero", { keys: [key("general.alignment", "u32", 0)] }, /power of two/],
  ["KV_BAD_ALIGN, huge", { keys: [key("general.alignment", "u32", 2 ** 31)] }, /power of two/],
  ["KV_WRONG_TYPE_ALIGN", { keys: [key("general.alignment", "i32", 32)] }, /kind u32, found i32/],
  ["TENSORS_BAD_NAME_SIZE", { tensors: [tensor("n".repeat(64))] }, /64 bytes; at most 63/],
  ["TENSORS_NAME_OF_63", { tensors: [tensor("n".repeat(63))] }, null],
  ["TENSORS_BAD_N_DIMS", { tensors: [tensor("a", [1, 1, 1, 1, 1])] }, /5 dimensions/],
  ["TENSORS_BAD_SHAPE", { tensors: [tensor("a", [-1n])] }, /2\^53/],
  ["TENSORS_ZERO_DIM", { tensors: [tensor("a", [4, 0])] }, null],
  ["TENSORS_NO_DIMS", { tensors: [tensor("a", [])] }, null],
  ["TENSORS_NE_TOO_BIG", { tensors: [tensor("a", [2 ** 33 - 4, 2 ** 33 - 4])] }, /2\^53/],
  ["TENSORS_NBYTES_TOO_BIG", { tensors: [tensor("a", [1_533_916_891, 1_533_916_891], 27)] }, /2\^53/],
  ["a product that wraps to zero", { tensors: [tensor("a", [2 ** 32, 2 ** 32])] }, /2\^53/],
  ["a product that a zero hides", { tensors: [tensor("a", [2 ** 40, 2 ** 40, 0])] }, /2\^53/],
  ["padding that wraps", { tensors: [tensor("a", [4, 2 ** 30 - 1, 2 ** 30 + 1])] }, /2\^53/],
  ["TENSORS_BAD_TYPE", { tensors: [tensor("a", [4], 43)] }, /type 43, which is not known/],
  ["a retired type", { tensors: [tensor("a", [32], 4)] }, /Q4_2.*re-quantize/],
  ["rows that end within a block", { tensors: [tensor("a", [33], 2)] }, /whole blocks of 32/],
  ["TENSORS_BAD_OFFSET", { tensors: [{ ...tensor("a"), offset: -1n }] }, /claims byte/],
  ["a hole between tensors", { tensors: [tensor("a"), { ...tensor("b"), offset: 64 }] }, /ends at 32/],
  ["TENSORS_DUPLICATE_NAME", { tensors: [tensor("a"), tensor("a")] }, /"a" is there twice/],
  ["TENSORS_BAD_ALIGN", { keys: [key("general.alignment", "u32", 13)], tensors: two, alignment: 13 }, /power of two/],
  ["TENSORS_INCONSISTENT_ALIGN", { tensors: two, alignment: 1 }, /claims byte 16/],
  ["TENSORS_CUSTOM_ALIGN", { keys: [key("general.alignment", "u32", 1)], tensors: two, alignment: 1 }, null],
  ["DATA_MEM_SIZE_OVERFLOW", { tensors: [tensor("a", [2n ** 63n - 64n], 24)] }, /2\^53/],
  ["tensors past the end", { tensors: [tensor("a", [2 ** 30])] }, /are missing; download it again/],
  ["a key that is not there", { keys: [key("k", "u8", 1)], counts: { keys: 2 } }, /key 1 of 2 is empty/],
  ["an array of arrays", { keys: [key("k", "array", 9, [])] }, /array of arrays/],
];

describe("files made by hand", () => {
  it.each(handcrafted)("%s", async (_, made, problem) => {
    if (problem) expect(await errorOf(ggufFile(made))).toMatch(problem);
    else await read(ggufFile(made));
  });

  it("KV_BAD_KEY_SIZE, and lengths that no file has, are refused before memory is taken", async () => {
    const start = (): Bytes => new Bytes().raw(new TextEncoder().encode("GGUF")).u32(3).u64(0).u64(1);
    for (const length of [-1n, 2n ** 63n, 2n ** 53n, 2n ** 40n, 100n]) {
      expect(await errorOf(start().u64(length).raw(new Uint8Array(64)).done())).toMatch(/are left/);
      expect(await errorOf(start().text("k").u32(8).u64(length).done())).toMatch(/are left/);
      for (const element of [0, 6, 8, 12])
        expect(await errorOf(start().text("k").u32(9).u32(element).u64(length).done())).toMatch(/are left/);
    }
  });

  it("DATA_NOT_ENOUGH_DATA: a tensor's last byte must be there, the padding after it not", async () => {
    const file = ggufFile({ tensors: [tensor("a")] });
    const { tensors } = await read(file.subarray(0, file.length - 16));
    expect(tensors.get("a")).toMatchObject({ shape: [4], end: file.length - 16 });
    expect(await errorOf(file.subarray(0, file.length - 17))).toMatch(/1 are missing/);
  });

  it("is refused by name if it is big-endian, a pointer of Git LFS or a web page", async () => {
    expect(await errorOf(ggufFile({ version: 3 * 2 ** 24 }))).toMatch(/big-endian/);
    const text = (of: string): Promise<string> => errorOf(new TextEncoder().encode(of));
    expect(await text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 26\n")).toMatch(/git lfs pull/);
    expect(await text("<!DOCTYPE html><html></html>")).toMatch(/web page/);
    expect(await text("GGU")).toMatch(/expected "GGUF"/);
    const pieces = { "x.gguf-split-a": ggufFile({ tensors: [tensor("a")] }).slice(0, -32), "x.gguf-split-b": "data" };
    for (const name of Object.keys(pieces))
      await expect(readGgufHeader(memoryFiles(pieces), name)).rejects.toThrow(/it is a piece of a file: join all/);
    expect(await text("")).toMatch(/an empty file/);
  });
});

const everything: readonly (readonly [string, Given])[] = [
  key("u8", "u8", 255),
  key("i8", "i8", -128),
  key("u16", "u16", 65535),
  key("i16", "i16", -32768),
  key("u32", "u32", 2 ** 32 - 1),
  key("i32", "i32", -(2 ** 31)),
  key("f32", "f32", 0.5),
  key("bool", "bool", true),
  key("string", "string", "\ufeffsch\u00f6n\0"),
  key("u64", "u64", 2n ** 53n - 1n),
  key("large", "u64", 2n ** 64n - 1n),
  key("i64", "i64", -5n),
  key("f64", "f64", 1e300),
  key("bytes", "string", Uint8Array.of(0xff, 0xfe)),
  key("texts", "array", "string", ["", "a", "\u00e9", "\ufeff", "b c"]),
  key("ascii", "array", "string", ["x", "", "yz"]),
  key("floats", "array", "f32", [1, 2.5]),
  key("longs", "array", "i64", [1n, -2n]),
  key("bools", "array", "bool", [true, false]),
  key("none", "array", "u16", []),
  key("__proto__", "string", "a key like any other"),
];

describe("metadata", () => {
  it("has every kind of value, in version 2 too", async () => {
    for (const version of [2, 3]) {
      const { metadata: m, version: found } = await read(ggufFile({ version, keys: everything }));
      expect(found).toBe(version);
      expect([...m.keys()]).toEqual(everything.map(([name]) => name));
      expect(["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64"].map((name) => m.integer(name))).toEqual([
        255,
        -128,
        65535,
        -32768,
        2 ** 32 - 1,
        -(2 ** 31),
        2 ** 53 - 1,
        -5,
      ]);
      expect([m.float("f32"), m.float("f64"), m.float("i8")]).toEqual([0.5, 1e300, -128]);
      expect(m.flag("bool")).toBe(true);
      expect(m.text("string")).toBe("\ufeffsch\u00f6n\0");
      expect(m.texts("texts")).toEqual(["", "a", "\u00e9", "\ufeff", "b c"]);
      expect(m.texts("ascii")).toEqual(["x", "", "yz"]);
      expect([...Array.from(m.numbers("floats")), ...Array.from(m.numbers("longs"))]).toEqual([1, 2.5, 1, -2]);
      expect(Array.from(m.numbers("bools"))).toEqual([1, 0]);
      expect(m.numbers("none").length).toBe(0);
      expect(m.text("__proto__")).toBe("a key like any other");
      expect([m.integer("absent", 7), m.text("absent", "x"), m.flag("absent", false)]).toEqual([7, "x", false]);
    }
  });

  it("names the key and what was found if a value is of another kind", async () => {
    const { metadata: m } = await read(ggufFile({ keys: everything }));
    expect(() => m.integer("absent")).toThrow(/x.gguf: metadata absent is missing/);
    expect(() => m.integer("f32")).toThrow(/metadata f32: expected a whole number, found f32 0.5/);
    expect(() => m.integer("large")).toThrow(/below 2\^53, found 18446744073709551615/);
    expect(() => m.text("bytes")).toThrow(/not valid UTF-8/);
    expect(() => m.text("floats")).toThrow(/expected a string, found an array of 2 f32/);
    expect(() => m.texts("string")).toThrow(/expected an array of strings/);
    expect(() => m.numbers("texts")).toThrow(/expected an array of numbers, found an array of 5 string/);
    expect(() => m.flag("u8")).toThrow(/expected true or false, found u8 255/);
    const damaged = [key("k", "array", "string", ["a", Uint8Array.of(0xc3)])];
    const { metadata } = await read(ggufFile({ keys: damaged }));
    expect(() => metadata.texts("k")).toThrow(/metadata k: entry 1 is not valid UTF-8/);
  });
});

/** A file with a vocabulary of 32,000 tokens, and data behind it. */
function vocabularyFile(data: number): Uint8Array {
  const tokens = Array.from({ length: 32_000 }, (_, i) => `token${i}`);
  return ggufFile({
    keys: [
      key("tokenizer.ggml.tokens", "array", "string", tokens),
      key(
        "tokenizer.ggml.scores",
        "array",
        "f32",
        tokens.map((_, i) => -i),
      ),
      key(
        "tokenizer.ggml.token_type",
        "array",
        "i32",
        tokens.map(() => 1),
      ),
    ],
    tensors: [tensor("a", [data / 4])],
  });
}

describe("reading", () => {
  it("takes few pieces, and never the whole file", async () => {
    const reads: [string, number, number][] = [];
    const file = vocabularyFile(8 * 2 ** 20);
    const { metadata } = await read(file, reads);
    expect(metadata.texts("tokenizer.ggml.tokens")[31_999]).toBe("token31999");
    expect(reads.length).toBeLessThanOrEqual(2);
    expect(reads.reduce((sum, [, , bytes]) => sum + bytes, 0)).toBeLessThan(3 * 2 ** 20);
  });

  it("takes two requests over HTTP", async () => {
    const file = vocabularyFile(2 ** 20);
    const ranges: string[] = [];
    const files = httpFiles("https://example.org/m", async (_, init) => {
      const range = new Headers(init?.headers).get("range")!;
      ranges.push(range);
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(range)!.map(Number);
      const body = file.slice(from, to! + 1);
      const headers = { "content-range": `bytes ${from}-${from! + body.length - 1}/${file.length}` };
      return new Response(body, { status: 206, headers });
    });
    expect((await readGgufHeader(files, "x.gguf")).tensors.get("a")!.shape).toEqual([2 ** 18]);
    expect(ranges).toHaveLength(2);
  });
});

describe("mutations of a valid file", () => {
  const valid = ggufFile({ keys: everything, tensors: [tensor("a", [4, 2]), tensor("b", [256, 2], 12)] });
  const data = valid.length - 32 - 288;

  const survives = async (file: Uint8Array): Promise<void> => {
    try {
      const { metadata, tensors } = await read(file);
      for (const { begin, end } of tensors.values()) expect(begin <= end && end <= file.length).toBe(true);
      for (const name of metadata.keys()) expect(metadata.has(name)).toBe(true);
    } catch (error) {
      if (!(error instanceof WeightsError)) throw error;
    }
  };

  it("give a header or a WeightsError, and nothing else", { timeout: 20_000 }, async () => {
    await read(valid);
    const flips = fc.array(fc.tuple(fc.nat(data - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    const word = fc.oneof(
      fc.bigInt(0n, 2n ** 64n - 1n),
      fc.bigInt(0n, 2n ** 16n),
      fc.constantFrom(2n ** 63n, 2n ** 53n),
    );
    const mutated = fc.oneof(
      flips.map((pairs) => {
        const file = valid.slice();
        for (const [at, value] of pairs) file[at] = value;
        return file;
      }),
      fc.nat(valid.length).map((length) => valid.slice(0, length)),
      fc.tuple(fc.nat(data - 8), word).map(([at, value]) => {
        const file = valid.slice();
        new DataView(file.buffer).setBigUint64(at, value, true);
        return file;
      }),
      fc.tuple(fc.nat(data - 1), fc.uint8Array({ minLength: 1, maxLength: 24 })).map(([at, bytes]) => {
        const file = new Uint8Array(valid.length + bytes.length);
        file.set(valid.subarray(0, at));
        file.set(bytes, at);
        file.set(valid.subarray(at), at + bytes.length);
        return file;
      }),
    );
    await fc.assert(fc.asyncProperty(mutated, survives), {
      seed: 14,
      numRuns: 20_000,
      interruptAfterTimeLimit: 3000,
    });
  });

  it("at every length are refused until the last tensor is whole", async () => {
    for (let length = 0; length < valid.length; length += 7) await errorOf(valid.slice(0, length));
  });
});

const there = inShared("fixtures/gguf");
const names = there.skip === null ? readdirSync(there.path).filter((name) => name.endsWith(".gguf")) : [];

describe.skipIf(there.skip !== null)(titled("a second reader, @huggingface/gguf", there.skip), () => {
  it.each(names)("%s: the same keys, tensors and offsets", async (name) => {
    const bytes = new Uint8Array(readFileSync(`${there.path}/${name}`));
    if (name.includes("-be")) {
      expect(await errorOf(bytes)).toMatch(/big-endian/);
      return;
    }
    const { gguf } = await import("@huggingface/gguf");
    const other = await gguf(`${there.path}/${name}`, { allowLocalFile: true });
    const { metadata, tensors, version } = await read(bytes);
    const { version: otherVersion, tensor_count: _, kv_count: __, ...values } = other.metadata;
    expect(version).toBe(otherVersion);
    expect([...metadata.keys()]).toEqual(Object.keys(values));
    const plain = (value: unknown): unknown => (typeof value === "bigint" ? Number(value) : value);
    for (const [of, value] of Object.entries(values)) {
      const own = metadata.raw(of)!;
      if (!Array.isArray(value)) expect(plain(own.value)).toEqual(plain(value));
      else if (own.kind === "array" && own.element === "string") expect(metadata.texts(of)).toEqual(value);
      else expect(Array.from(metadata.numbers(of))).toEqual(value.map(plain));
    }
    expect(
      [...tensors.values()].map(({ name, type, shape, begin }) => [name, type.id, shape.toReversed(), begin]),
    ).toEqual(
      other.tensorInfos.map(({ name, dtype, shape, offset }) => [
        name,
        dtype,
        shape.map(Number),
        Number(other.tensorDataOffset + offset),
      ]),
    );
  });
});
