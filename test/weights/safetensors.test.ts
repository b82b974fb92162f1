import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { SafeTensor } from "safetensors";
import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import { readSafetensorsHeader, type SafetensorsHeader } from "../../src/weights/safetensors.ts";
import { memoryFiles, rawFile } from "./memory_files.ts";

const read = (file: Uint8Array, reads: [string, number, number][] = []): Promise<SafetensorsHeader> =>
  readSafetensorsHeader(memoryFiles({ "x.safetensors": file }, reads), "x.safetensors");

const verdict = async (file: Uint8Array): Promise<"accept" | "reject"> => {
  try {
    await read(file);
    return "accept";
  } catch (error) {
    expect(error).toBeInstanceOf(WeightsError);
    expect((error as Error).message).toContain("x.safetensors");
    return "reject";
  }
};

const fixtures = fileURLToPath(new URL("../../../shared/fixtures/safetensors-bad/", import.meta.url));
const there = existsSync(fixtures);
const cases = there
  ? (JSON.parse(readFileSync(`${fixtures}cases.json`, "utf8")) as { name: string; file: string; verdict: string }[])
  : [];

describe.skipIf(!there)(
  "the reference reader's verdict (skipped where ../shared/fixtures/safetensors-bad is missing)",
  () => {
    it("has all its files", () => expect(cases.length).toBe(42));
    it.each(cases)("$name: $verdict", async (c) => {
      expect(await verdict(new Uint8Array(readFileSync(fixtures + c.file)))).toBe(c.verdict);
    });
  },
);

// Verdicts of safetensors 0.8.0 (Rust, through Python's safetensors.deserialize) on headers with 4
// bytes of data.
const A = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}';
const tensor = (dtype: string, shape: string, offsets: string) =>
  `{"a":{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}}`;
const extra = (value: string) => `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":${value}}}`;
const odd: readonly (readonly ["accept" | "reject", string, string])[] = [
  ["accept", "a name twice", `{"a":${A},"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}`],
  [
    "accept",
    "a name twice, the first wrong in size",
    `{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]},"a":${A}}`,
  ],
  ["reject", "a name twice, the first no tensor", `{"a":[1,2],"a":${A}}`],
  ["reject", "__metadata__ twice", `{"__metadata__":{},"__metadata__":{},"a":${A}}`],
  ["accept", "a key of __metadata__ twice", `{"__metadata__":{"k":"v","k":"w"},"a":${A}}`],
  ["accept", "__metadata__ null", `{"__metadata__":null,"a":${A}}`],
  ["reject", "__metadata__ null twice", `{"__metadata__":null,"__metadata__":null,"a":${A}}`],
  ["reject", "a number in __metadata__", `{"__metadata__":{"k":1},"a":${A}}`],
  ["reject", "null in __metadata__", `{"__metadata__":{"k":null},"a":${A}}`],
  ["reject", "__metadata__ an array", `{"__metadata__":[],"a":${A}}`],
  ["accept", "__metadata__ spelled with escapes", `{"\\u005f\\u005fmetadata__":{"k":"v"},"a":${A}}`],
  ["accept", "a tensor as an array", '{"a":["F32",[1],[0,4]]}'],
  ["reject", "a tensor as an array of four", '{"a":["F32",[1],[0,4],5]}'],
  ["accept", "dtype as a map", tensor('{"F32":null}', "[1]", "[0,4]")],
  ["reject", "dtype as a map to a map", tensor('{"F32":{}}', "[1]", "[0,4]")],
  ["reject", "dtype an empty map", tensor("{}", "[1]", "[0,4]")],
  ["reject", "dtype in small letters", tensor('"f32"', "[1]", "[0,4]")],
  ["reject", "dtype unknown", tensor('"I4"', "[8]", "[0,4]")],
  ["accept", "dtype F4", tensor('"F4"', "[2,4]", "[0,4]")],
  ["reject", "dtype F4 that ends within a byte", tensor('"F4"', "[7]", "[0,4]")],
  ["accept", "dtype F8_E8M0", tensor('"F8_E8M0"', "[4]", "[0,4]")],
  ["reject", "size as 1e0", tensor('"F32"', "[1e0]", "[0,4]")],
  ["reject", "offset -0", tensor('"F32"', "[1]", "[-0,4]")],
  ["reject", "offset 00", tensor('"F32"', "[1]", "[00,4]")],
  ["reject", "offset 2^64", tensor('"F32"', "[1]", "[0,18446744073709551616]")],
  ["reject", "end before begin", tensor('"F32"', "[1]", "[4,0]")],
  [
    "reject",
    "sizes whose product leaves 64 bits before the zero",
    tensor('"F32"', "[4294967296,4294967296,0]", "[0,0]"),
  ],
  ["accept", "an empty tensor between others", `{"a":${A},"b":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}`],
  [
    "accept",
    "an empty tensor at the begin of another",
    `{"a":${A},"b":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}`,
  ],
  ["accept", "space before the object", `  {"a":${A}}`],
  ["reject", "a form feed before the object", `\f{"a":${A}}`],
  ["reject", "a NUL after the object", `{"a":${A}}\0`],
  ["reject", "a trailing comma", `{"a":${A},}`],
  ["reject", "a lone surrogate", `{"\\ud800":${A}}`],
  ["accept", "a surrogate pair", `{"\\ud83d\\ude00":${A}}`],
  ["accept", "an escaped NUL in a name", `{"a\\u0000":${A}}`],
  ["reject", "a bare control character in a name", `{"a\u0001":${A}}`],
  ["reject", "an unknown escape", `{"a\\x":${A}}`],
  ["accept", "an empty name", `{"":${A}}`],
  ["accept", "an unknown field twice", '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1,"x":2}}'],
  ["accept", "127 levels", extra(`${"[".repeat(125)}${"]".repeat(125)}`)],
  ["reject", "128 levels", extra(`${"[".repeat(126)}${"]".repeat(126)}`)],
  ["reject", "a number beyond f64", extra("1e400")],
  ["accept", "a number below f64", extra("1e-400")],
  ["reject", "NaN", extra("NaN")],
  ["reject", "1.", extra("1.")],
  ["reject", "tru", extra("tru")],
  ["reject", "a tensor null", '{"a":null}'],
  ["reject", "an array of tensors", `[${A}]`],
  ["reject", "nothing", ""],
];

describe("headers at the edges of the format", () => {
  it.each(odd)("%s: %s", async (want, _what, header) => {
    expect(await verdict(rawFile(header, new Uint8Array(4)))).toBe(want);
  });

  it("takes the last of two tensors of one name", async () => {
    const { tensors } = await read(rawFile(odd[0]![2], new Uint8Array(4)));
    expect([...tensors.values()].map((t) => t.dtype)).toEqual(["I32"]);
  });

  it("keeps __proto__ an ordinary name", async () => {
    const { tensors, metadata } = await read(
      rawFile(`{"__metadata__":{"__proto__":"m"},"__proto__":${A}}`, new Uint8Array(4)),
    );
    expect([...tensors.keys()]).toEqual(["__proto__"]);
    expect([...metadata]).toEqual([["__proto__", "m"]]);
  });

  it("gives offsets from the start of the file, in their order", async () => {
    const header = `{"b":{"dtype":"F16","shape":[2,1],"data_offsets":[4,8]},"a":${A}}`;
    const { tensors, bytes } = await read(rawFile(header, new Uint8Array(8)));
    const data = 8 + header.length;
    expect([...tensors]).toEqual([
      ["a", { dtype: "F32", shape: [1], begin: data, end: data + 4 }],
      ["b", { dtype: "F16", shape: [2, 1], begin: data + 4, end: data + 8 }],
    ]);
    expect(bytes).toBe(data + 8);
  });
});

describe("messages", () => {
  const header = '{"tensor é":{"dtype":"F32","shape":[1],"data_offsets":[0,4.0]}}';
  it.each([
    [
      "byte and tensor of a bad number",
      rawFile(header),
      `byte ${8 + new TextEncoder().encode(header.split("4.0")[0]).length}, tensor "tensor é"`,
    ],
    ["bytes missing at the end", rawFile(`{"a":${A}}`, new Uint8Array(1)), "3 are missing"],
    ["bytes missing in the header", rawFile("{}", undefined, 100n), "98 bytes are missing"],
    ["an absurd length", rawFile("{}", undefined, 2n ** 63n), "at most 100000000"],
    [
      "an overlap",
      rawFile(`{"a":${A},"b":{"dtype":"F32","shape":[2],"data_offsets":[2,10]}}`, new Uint8Array(10)),
      'tensor "b"',
    ],
  ])("names the %s", async (_what, file, text) => {
    await expect(read(file)).rejects.toThrow(text);
  });
});

describe("bounds", () => {
  it("reads the length and the header, nothing else", async () => {
    const reads: [string, number, number][] = [];
    const header = `{"a":{"dtype":"U8","shape":[100000],"data_offsets":[0,100000]}}`;
    await read(rawFile(header, new Uint8Array(100000)), reads);
    expect(reads).toEqual([
      ["x.safetensors", 0, 8],
      ["x.safetensors", 8, header.length],
    ]);
  });

  it.each([2n ** 32n, 2n ** 63n, 2n ** 64n - 1n, 100_000_001n, 99_999_999n])(
    "asks for no byte of a header of %d bytes that is not there",
    async (length) => {
      const reads: [string, number, number][] = [];
      await expect(read(rawFile("{}", undefined, length), reads)).rejects.toThrow(WeightsError);
      expect(reads).toEqual([["x.safetensors", 0, 8]]);
    },
  );

  it("reads 20,000 tensors, given in reverse", async () => {
    const entries = Array.from({ length: 20000 }, (_, i) => {
      const begin = 2 * (19999 - i);
      return `"t.${i}":{"dtype":"BF16","shape":[1],"data_offsets":[${begin},${begin + 2}]}`;
    });
    const { tensors } = await read(rawFile(`{${entries.join(",")}}`, new Uint8Array(40000)));
    expect(tensors.size).toBe(20000);
    expect(tensors.keys().next().value).toBe("t.19999");
  });
});

describe("any header", () => {
  const dtypes = fc.constantFrom("F32", "F16", "BF16", "U8", "I64");
  const bits: Readonly<Record<string, number>> = { F32: 32, F16: 16, BF16: 16, U8: 8, I64: 64 };
  const wellFormed = fc
    .tuple(
      fc.uniqueArray(fc.tuple(fc.string({ unit: "grapheme" }), dtypes, fc.array(fc.nat(5), { maxLength: 3 })), {
        selector: ([name]) => name,
        maxLength: 6,
      }),
    )
    .map(([specs]) => {
      const header = new Map<string, unknown>();
      let at = 0;
      for (const [name, dtype, shape] of specs) {
        if (name === "__metadata__") continue;
        const end = at + (shape.reduce((p, s) => p * s, 1) * bits[dtype]!) / 8;
        header.set(name, { dtype, shape, data_offsets: [at, end] });
        at = end;
      }
      const text = `{${[...header].map(([name, info]) => `${JSON.stringify(name)}:${JSON.stringify(info)}`).join(",")}}`;
      return { header, text, data: Uint8Array.from({ length: at }, (_, i) => i) };
    });

  it("is read as the npm package safetensors reads it, where it is well formed", async () => {
    await fc.assert(
      fc.asyncProperty(wellFormed, async ({ header, text, data }) => {
        const file = rawFile(text, data);
        const { tensors } = await read(file);
        const other = new SafeTensor(file);
        // That package loses the name __proto__; it is tested above.
        const names = [...header.keys()].filter((name) => name !== "__proto__");
        for (const name of names) {
          const { begin, end, dtype, shape } = tensors.get(name)!;
          expect(other.metadata.get(name)).toEqual({ dtype, shape, data_offsets: [begin, end] });
          expect(file.subarray(begin, end)).toEqual(other.getTensor(name));
        }
        expect(tensors.size).toBe(header.size);
      }),
      { numRuns: 200 },
    );
  });

  const splice = fc.record({
    at: fc.nat(400),
    remove: fc.nat(6),
    insert: fc.oneof(
      fc.uint8Array({ maxLength: 4 }),
      fc
        .constantFrom(
          '"',
          "{",
          "}",
          "[",
          "]",
          ",",
          ":",
          "\\",
          "\\u",
          "\\ud800",
          "null",
          "1e999",
          "-",
          "0",
          "18446744073709551616",
          '"dtype":',
          '"__metadata__":',
          "[".repeat(200),
          "\ufeff",
          "🦊",
        )
        .map((text) => new TextEncoder().encode(text)),
    ),
  });

  it("ends in a header or a WeightsError, whatever is done to it, and reads no more than the file", async () => {
    await fc.assert(
      fc.asyncProperty(
        wellFormed,
        fc.array(splice, { minLength: 1, maxLength: 4 }),
        fc.option(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { nil: undefined, freq: 8 }),
        async ({ text, data }, splices, length) => {
          let header = new TextEncoder().encode(text);
          for (const { at, remove, insert } of splices) {
            const from = Math.min(at, header.length);
            header = Uint8Array.from([...header.subarray(0, from), ...insert, ...header.subarray(from + remove)]);
          }
          const file = rawFile(header, data, length);
          const reads: [string, number, number][] = [];
          const result = await read(file, reads).catch((error: unknown) => error);
          for (const [, offset, size] of reads) expect(offset + size).toBeLessThanOrEqual(file.length);
          if (result instanceof Error) {
            expect(result).toBeInstanceOf(WeightsError);
            return;
          }
          let end = Number.NaN;
          for (const entry of (result as SafetensorsHeader).tensors.values()) {
            if (!Number.isNaN(end)) expect(entry.begin).toBe(end);
            end = entry.end;
          }
          if (!Number.isNaN(end)) expect(end).toBe(file.length);
        },
      ),
      { numRuns: 1500 },
    );
  });
});
