// Checks the arguments of a call against the tool's JSON schema, which comes from a client and is not trusted.

import { Ajv2020, type AnySchema, type ValidateFunction } from "ajv/dist/2020.js";
import { RequestError } from "../errors.ts";
import { boundedPattern } from "./bounded_pattern.ts";
import type { ToolDefinition } from "./types.ts";

/** Members and items of the schemas of all tools of a request: what validators are generated from in half a second. */
const MAX_NODES = 3_000;
/** Members of one object or list of schemas: generating their code takes the square of their number. */
const MAX_MEMBERS = 512;
/** Levels of a schema. */
const MAX_DEPTH = 64;
/** References followed while one call is checked: schemas that refer to each other can take exponential time. */
const MAX_STEPS = 20_000;

/** Keywords by what they hold: a schema, a list of schemas, or schemas by name. Everything else is copied as it is. */
const ONE =
  /^(items|additionalItems|additionalProperties|unevaluatedItems|unevaluatedProperties|contains|propertyNames|not|if|then|else)$/;
const MANY = /^(allOf|anyOf|oneOf|prefixItems|items)$/;
const NAMED = /^(properties|patternProperties|\$defs|definitions|dependentSchemas|dependencies)$/;
/** Left out: names for the schema elsewhere, notes, an asynchronous mode, and formats (which are notes by default). */
const IGNORED =
  /^(\$schema|\$id|id|\$anchor|\$async|\$comment|format|default|examples|title|description|discriminator|nullable)$/;

export interface ArgumentsCheck {
  /** What is wrong with the JSON text of a call's arguments; none where nothing is. */
  check(text: string): readonly string[];
}

/** Checks for every tool, by name. @throws RequestError naming the tool and what is wrong with its schema */
export function compileTools(tools: readonly ToolDefinition[]): ReadonlyMap<string, ArgumentsCheck> {
  const size = { nodes: 0 };
  return new Map(tools.map((tool) => [tool.name, compileArguments(tool, size)]));
}

function compileArguments(tool: ToolDefinition, size: { nodes: number }): ArgumentsCheck {
  const where = `tool ${JSON.stringify(tool.name)}: parameters`;
  const schema = new SchemaCopy(where, size).schema(tool.parameters ?? {}, 0);
  const budget = { steps: 0 };
  const validate = compile(schema as AnySchema, budget, where);
  return {
    check(text) {
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch (error) {
        return [`the arguments are not JSON: ${(error as Error).message}`];
      }
      if (typeof value !== "object" || value === null || Array.isArray(value))
        return ["the arguments are no JSON object"];
      budget.steps = 0;
      try {
        if (validate(value)) return [];
      } catch (error) {
        return [`the arguments could not be checked: ${(error as Error).message}`];
      }
      return (validate.errors ?? []).map(({ instancePath, message }) => `arguments${instancePath}: ${message}`);
    },
  };
}

/** Knows what a schema is; made when it is first needed, since it takes 40 ms. It keeps nothing of the schemas that it is shown. */
let meta: Ajv2020 | undefined;

function compile(schema: AnySchema, budget: { steps: number }, where: string): ValidateFunction {
  const ajv = new Ajv2020({
    strict: false,
    meta: false,
    validateSchema: false,
    validateFormats: false,
    logger: false,
    // A referenced schema would be copied to where it is referred to: small schemas would become large code.
    inlineRefs: false,
    code: { regExp: Object.assign((source: string, flags: string) => boundedPattern(source, flags), { code: "" }) },
    keywords: [
      {
        keyword: STEP,
        schema: false,
        before: "$ref", // what fails ends the rules of a schema, so that behind it failures would go uncounted
        validate: () => {
          if (++budget.steps > MAX_STEPS) throw new RangeError(`it takes more than ${MAX_STEPS} steps`);
          return true;
        },
      },
    ],
  });
  try {
    meta ??= new Ajv2020({ strict: false, validateFormats: false, logger: false });
    // Code is generated from schemas that are schemas, and from no others.
    if (meta.validateSchema(schema) !== true) throw new Error(meta.errorsText(meta.errors, { dataVar: "schema" }));
    return ajv.compile(schema);
  } catch (error) {
    throw new RequestError(`${where}: expected a JSON schema (draft 2020-12): ${(error as Error).message}`);
  }
}

const STEP = "x-hotset-step";

/** Copies what constrains, bounded, and counts steps wherever a reference is followed. */
class SchemaCopy {
  private readonly where: string;
  private readonly size: { nodes: number };

  constructor(where: string, size: { nodes: number }) {
    this.where = where;
    this.size = size;
  }

  schema(value: unknown, depth: number): unknown {
    this.count(depth);
    if (typeof value === "boolean") return value;
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new RequestError(
        `${this.where}: expected a schema (an object, true or false), found ${JSON.stringify(value)}`,
      );
    }
    const copy: Record<string, unknown> = {};
    for (const [key, inner] of Object.entries(value)) {
      if (key === "__proto__" || key === STEP || IGNORED.test(key)) continue;
      if (key === "$ref" || key === "$dynamicRef" || key === "$recursiveRef") {
        if (typeof inner !== "string" || !/^#($|\/)/.test(inner)) {
          throw new RequestError(
            `${this.where}: expected a ${key} to a place in this schema ("#/$defs/..."), found ${JSON.stringify(inner)}`,
          );
        }
        copy[STEP] = true;
      }
      if (typeof inner === "object" && inner !== null) this.countMembers(Object.keys(inner).length, key);
      if (MANY.test(key) && Array.isArray(inner)) copy[key] = inner.map((one) => this.schema(one, depth + 1));
      else if (ONE.test(key)) copy[key] = this.schema(inner, depth + 1);
      else if (NAMED.test(key)) copy[key] = this.named(inner, depth + 1);
      else copy[key] = this.data(inner, depth + 1);
    }
    if (Array.isArray(copy.items) && copy.prefixItems === undefined) {
      // draft 7 and before
      copy.prefixItems = copy.items;
      delete copy.items;
      if (copy.additionalItems !== undefined) copy.items = copy.additionalItems;
    }
    delete copy.additionalItems;
    return copy;
  }

  private named(value: unknown, depth: number): unknown {
    this.count(depth);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    const entries = Object.entries(value).filter(([key]) => key !== "__proto__");
    const copied = (inner: unknown): unknown =>
      Array.isArray(inner) ? this.data(inner, depth + 1) : this.schema(inner, depth + 1);
    return Object.fromEntries(entries.map(([key, inner]) => [key, copied(inner)]));
  }

  private data(value: unknown, depth: number): unknown {
    this.count(depth);
    if (Array.isArray(value)) for (const inner of value) this.data(inner, depth + 1);
    else if (typeof value === "object" && value !== null)
      for (const inner of Object.values(value)) this.data(inner, depth + 1);
    return value;
  }

  private countMembers(count: number, key: string): void {
    if (count <= MAX_MEMBERS) return;
    throw new RequestError(`${this.where}: ${key}: expected at most ${MAX_MEMBERS} members, found ${count}`);
  }

  private count(depth: number): void {
    if (++this.size.nodes > MAX_NODES) {
      throw new RequestError(`${this.where}: expected schemas of at most ${MAX_NODES} parts in all, found more`);
    }
    if (depth > MAX_DEPTH)
      throw new RequestError(`${this.where}: expected a schema of at most ${MAX_DEPTH} levels, found more`);
  }
}
