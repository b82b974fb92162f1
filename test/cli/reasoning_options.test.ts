// The options of reasoning: what they say of every answer, and that a request counts more.

import { Command } from "commander";
import { describe, expect, it } from "vitest";
import {
  addReasoningOptions,
  chatDefaults,
  type ReasoningFlags,
  withDefaults,
} from "../../src/cli/reasoning_options.ts";
import { fakeModel } from "../server/fake_model.ts";

function parsed(args: readonly string[]): ReasoningFlags {
  const command = addReasoningOptions(new Command())
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  return command.parse(args, { from: "user" }).opts<ReasoningFlags>();
}

describe("options of reasoning", () => {
  it.each<[string[], object]>([
    [[], {}],
    [["--reasoning", "auto", "--reasoning-budget", "-1"], {}],
    [["--reasoning", "off"], { reasoning: { enabled: false } }],
    [["--reasoning", "on", "--reasoning-effort", "high"], { reasoning: { enabled: true, effort: "high" } }],
    [["--reasoning-budget", "0"], { reasoning: { budget: 0 } }],
    [["--chat-template-kwargs", '{"a": [1]}'], { templateVariables: { a: [1] } }],
  ])("%j", (args, wanted) => {
    expect(chatDefaults(parsed(args))).toEqual(wanted);
  });

  it.each<[string[], RegExp]>([
    [["--reasoning", "maybe"], /Allowed choices are on, off, auto/],
    [["--reasoning-budget", "-2"], /Expected an integer from 0/],
    [["--reasoning-effort", "very much"], /Expected a word/],
    [["--chat-template-kwargs", "[1]"], /Expected a JSON object/],
    [["--chat-template-kwargs", "{a: 1}"], /Expected a JSON object/],
  ])("%j is refused", (args, message) => {
    expect(() => parsed(args)).toThrow(message);
  });

  it("fill what a request leaves out", async () => {
    const model = fakeModel();
    const chat = withDefaults(model, { reasoning: { enabled: true, budget: 9 }, templateVariables: { a: 1, b: 2 } });
    const ask = async (options: Parameters<typeof chat.chat>[1]) => {
      for await (const _ of chat.chat([{ role: "user", content: "?" }], options));
      return model.asked.at(-1)!.options;
    };
    expect(await ask(undefined)).toMatchObject({
      reasoning: { enabled: true, budget: 9 },
      templateVariables: { a: 1, b: 2 },
    });
    expect(await ask({ seed: 1, reasoning: { budget: 0 }, templateVariables: { b: 3 } })).toMatchObject({
      seed: 1,
      reasoning: { enabled: true, budget: 0 },
      templateVariables: { a: 1, b: 3 },
    });
    for await (const _ of withDefaults(model, {}).chat([{ role: "user", content: "?" }]));
    expect(model.asked.at(-1)!.options).not.toHaveProperty("reasoning");
  });
});
