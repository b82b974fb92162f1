// models/tales under constraints, end to end on the CPU: its answers are what the grammar says,
// whatever the model would write.

import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GenerateOptions } from "../../src/engine/api.ts";
import type { Model } from "../../src/engine/model.ts";
import { RequestError } from "../../src/errors.ts";
import type { Grammar } from "../../src/grammar/types.ts";
import { open } from "../../src/index.ts";
import { inRepo } from "../support/fixtures.ts";

let model: Model;
beforeAll(async () => {
  model = await open(inRepo("models/tales"), { backend: "cpu", weights: "f32", context: 512, threads: 1 });
});
afterAll(() => model?.close());

async function write(grammar: Grammar, options: GenerateOptions = {}) {
  const constraint = await grammar.matcher();
  const session = model.session();
  try {
    let text = "";
    let reason = "";
    const settings = { temperature: 0, maxTokens: 200, ...options, constraint };
    for await (const piece of session.generate("Once upon a time there was", settings)) {
      text += piece.text;
      reason = piece.finish?.reason ?? reason;
    }
    return { text, reason, ended: constraint.ended };
  } finally {
    session.close();
    constraint.close();
  }
}

const person = {
  type: "object",
  properties: {
    name: { type: "string", minLength: 1, maxLength: 12 },
    age: { type: "integer", minimum: 1, maximum: 99 },
    mood: { enum: ["merry", "sad"] },
    friends: { type: "array", items: { type: "string", pattern: "^[A-Z][a-z]{1,8}$" }, minItems: 1, maxItems: 3 },
  },
  required: ["name", "age", "mood", "friends"],
  additionalProperties: false,
};

describe("models/tales", () => {
  it.each([{ temperature: 0 }, { temperature: 1.2, seed: 3 }, { temperature: 3, seed: 4 }])(
    "writes JSON that a schema allows: %j",
    async (sampling) => {
      const { text, reason, ended } = await write(await model.grammars.jsonSchema(person), sampling);
      const validate = new Ajv2020().compile(person);
      expect(validate(JSON.parse(text)), text).toBe(true);
      expect({ reason, ended }).toEqual({ reason: "eos", ended: true });
      expect((await write(await model.grammars.jsonSchema(person), sampling)).text).toBe(text);
    },
  );

  it("writes a telephone number", async () => {
    const { text, reason } = await write(await model.grammars.regex("\\d{3}-\\d{4}"));
    expect(text).toMatch(/^\d{3}-\d{4}$/);
    expect(reason).toBe("eos");
  });

  it("writes what EBNF says, and a JSON object", async () => {
    const grammar = await model.grammars.ebnf('root ::= "I say " word{2,3} "."\nword ::= ("yes" | "no") " "');
    expect((await write(grammar)).text).toMatch(/^I say ((yes|no) ){2,3}\.$/);
    const { text, reason } = await write(await model.grammars.json(), { temperature: 1, seed: 1, maxTokens: 300 });
    if (reason === "eos") expect(JSON.parse(text)).toBeTypeOf("object");
    else expect(text).toMatch(/^\{/);
  });

  it("ends with length where maxTokens comes before the end", async () => {
    const { reason, ended } = await write(await model.grammars.jsonSchema(person), { maxTokens: 4 });
    expect({ reason, ended }).toEqual({ reason: "length", ended: false });
  });

  it("refuses a schema by name", async () => {
    const schema = { type: "object", properties: { a: { type: "array", uniqueItems: true, minItems: 2 } } };
    const refused = model.grammars.jsonSchema(schema);
    await expect(refused).rejects.toThrow(RequestError);
    await expect(refused).rejects.toThrow("keyword `uniqueItems` at #/properties/a");
  });
});
