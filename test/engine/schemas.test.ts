import type { StandardJSONSchemaV1, StandardSchemaV1 } from "@standard-schema/spec";
import { describe, expect, expectTypeOf, it } from "vitest";
import type { ChatOptions } from "../../src/engine/chat_api.ts";
import { type ChatInput, jsonFormat, tool, withJsonSchemas } from "../../src/engine/schemas.ts";

interface Place {
  readonly city: string;
  readonly days: number;
}

const JSON_SCHEMA = { type: "object", properties: { city: { type: "string" }, days: { type: "string" } } };

type Whole = StandardSchemaV1<unknown, Place> & StandardJSONSchemaV1<unknown, Place>;

/** A schema as the standard has it; `days` is written as a text and read as a number. */
function schema(vendor = "hand", input: StandardJSONSchemaV1.Converter["input"] = () => JSON_SCHEMA): Whole {
  return {
    "~standard": {
      version: 1,
      vendor,
      jsonSchema: { input, output: () => ({ type: "null" }) },
      validate(value) {
        const { city, days } = value as { city: unknown; days: unknown };
        const issues = [];
        if (typeof city !== "string") issues.push({ message: "expected a string", path: ["city"] });
        if (!/^\d+$/.test(String(days))) issues.push({ message: "no number", path: [{ key: "days" }, 0] });
        if (issues.length > 0) return { issues };
        return { value: { city: city as string, days: Number(days) } };
      },
    },
  };
}

/** As arktype's: a function with the property. */
const callable = Object.assign(() => null, schema("arktype")) as unknown as Whole;

/** As valibot's: it validates, and has no JSON schema. */
function without(vendor: string): StandardSchemaV1<unknown, Place> {
  const { jsonSchema: _, ...rest } = schema(vendor)["~standard"];
  return { "~standard": rest };
}

describe("schemas of libraries", () => {
  it("make a tool whose calls are typed", async () => {
    const weather = tool({ name: "weather", description: "w", strict: true, schema: schema() });
    expect(weather).toMatchObject({ name: "weather", description: "w", strict: true, parameters: JSON_SCHEMA });
    const parsed = await weather.parse({ arguments: '{"city":"Paris","days":"3"}' });
    expectTypeOf(parsed).toEqualTypeOf<Place>();
    expect(parsed).toEqual({ city: "Paris", days: 3 });
    await expect(weather.parse({ arguments: '{"city":1}' })).rejects.toThrow(
      'tool "weather": arguments: city: expected a string; days.0: no number',
    );
    await expect(weather.parse({ arguments: "" })).rejects.toThrow("city: expected a string");
    await expect(weather.parse({ arguments: "{" })).rejects.toThrow(/arguments: expected JSON: /);
  });

  it("make a format whose answers are typed", async () => {
    const format = jsonFormat(schema());
    expect(format).toMatchObject({ type: "json_schema", schema: JSON_SCHEMA, strict: false });
    expect(await format.parse('{"city":"Rome","days":2}')).toEqual({ city: "Rome", days: 2 });
    await expect(format.parse("[]")).rejects.toThrow(/^answer: city: expected a string/);
    expect(jsonFormat(schema(), { strict: true, jsonSchema: {} })).toMatchObject({ schema: {}, strict: true });
  });

  it("may validate later", async () => {
    const { "~standard": standard } = schema();
    const slow: Whole = { "~standard": { ...standard, validate: async (value) => standard.validate(value) } };
    expect(await jsonFormat(slow).parse('{"city":"Rome","days":2}')).toEqual({ city: "Rome", days: 2 });
  });

  it.each([
    ["an object", schema()],
    ["a function", callable],
  ])("stand for JSON schemas in options: %s", (_, given) => {
    const options: ChatInput = {
      tools: [{ name: "a", parameters: given }, { name: "b", parameters: { type: "object" } }, { name: "c" }],
      responseFormat: { type: "json_schema", schema: given, strict: true },
      seed: 1,
    };
    expect(withJsonSchemas(options)).toEqual({
      tools: [{ name: "a", parameters: JSON_SCHEMA }, { name: "b", parameters: { type: "object" } }, { name: "c" }],
      responseFormat: { type: "json_schema", schema: JSON_SCHEMA, strict: true },
      seed: 1,
    });
    const plain: ChatOptions = { tools: [{ name: "b" }], responseFormat: { type: "json" } };
    expect(withJsonSchemas(plain)).toEqual(plain);
  });

  it("are asked for an older draft where they do not know the newest", () => {
    const old = schema("hand", ({ target }) => {
      if (target !== "draft-07") throw new Error(`no ${target}`);
      return { target };
    });
    expect(jsonFormat(old).schema).toEqual({ target: "draft-07" });
  });

  it.each([
    ["valibot", /the schema of valibot has no JSON Schema .*; pass toStandardJsonSchema\(schema\) of @valibot/],
    ["zod", /; zod 4.2 or newer has one$/],
    ["other", /; pass a JSON Schema instead, or beside it to tool\(\) or jsonFormat\(\)$/],
  ])("that have no JSON schema are refused, and what to pass is said: %s", (vendor, message) => {
    expect(() => jsonFormat(without(vendor))).toThrow(message);
    expect(() => withJsonSchemas({ tools: [{ name: "a", parameters: without(vendor) }] })).toThrow(message);
    const given = tool({ name: "a", schema: without(vendor), parameters: { type: "object" } });
    expect(given.parameters).toEqual({ type: "object" });
  });

  it("that cannot be converted, or do not validate, are refused", () => {
    const date = schema("zod", () => {
      throw new Error("Date cannot be represented");
    });
    expect(() => jsonFormat(date)).toThrow("schema: zod cannot convert the schema to JSON Schema: Date cannot be");
    const { validate: _, ...rest } = schema()["~standard"];
    const only = { "~standard": rest } as unknown as Whole;
    expect(() => tool({ name: "a", schema: only })).toThrow(/expected a schema that validates/);
    for (const wrong of [{ type: "object" }, { "~standard": null }, null, 5])
      expect(() => jsonFormat(wrong as unknown as Whole)).toThrow(/property "~standard", as zod/);
  });
});
