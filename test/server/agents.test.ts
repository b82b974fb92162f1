// Coding agents over tool turns: each later prompt is the one that the cache knows, although
// clients and templates write the model's answers anew.

import { describe, expect, it } from "vitest";
import { createApp } from "../../src/server/app.ts";
import { some } from "../support/some.ts";
import { type Agent, aiSdk, claudeCode, codex, type Task, type Turn } from "./agent_clients.ts";
import { FAMILIES, type Family, type Step } from "./agent_families.ts";
import { BLOCK, type ScriptedEngine, sampledIds, scriptedEngine } from "./scripted_engine.ts";

const RULES = Array.from(
  { length: 90 },
  (_, i) => `Rule ${i}: look at the files of part ${i} before you say what is in them.`,
);
const task: Omit<Task, "reminds"> = {
  system: `You help with the work on a house of little bears.\n${RULES.join("\n")}`,
  tools: [
    {
      name: "read_file",
      description: "Reads a file.",
      parameters: {
        type: "object",
        properties: { path: { type: "string" }, limit: { type: "integer" }, deep: { type: "object" } },
        required: ["path"],
      },
    },
  ],
};
/** Arguments as models write them: spaces, escapes, numbers and an order that clients change. */
const ARGS = [
  '{"path":"a.txt","limit":40}',
  '{ "limit" : 12,"path":"the \\u00fc/b.md" }',
  '{"path":"c","deep":{"y":1.0,"x":[1,2 ,3]}}',
  '{\n  "path": "d"\n}',
  '{"path":"e","deep":{"2":"two","1":"one"}}',
  '{"path":"f\\/g \\"h\\"","limit":1e2}',
];
const step = (i: number): Step => ({
  thought: `The bear asks for file ${i}.\n\nI should look at it, and then at the next one.`,
  say: `I look at file ${i}.`,
  name: "read_file",
  args: ARGS[i % ARGS.length]!,
});
const TURNS = 10;

interface Talk {
  readonly engine: ScriptedEngine;
  readonly agent: Agent;
  /** Tokens of a prompt that were computed, and those that neither prompt nor answer had before. */
  readonly turns: { readonly computed: number; readonly fresh: number; readonly share: number }[];
  ask(text: string): Promise<void>;
  /** Sends a result, to which the model answers with a call, or for the last time. */
  result(i: number, last?: boolean): Promise<void>;
}

async function talk(family: Family, client: typeof codex, states?: number): Promise<Talk> {
  const engine = await scriptedEngine(family.files, family.template, states);
  const agent = client(createApp(engine.chat), { ...task, reminds: family.keepsPlace });
  const turns: Talk["turns"] = [];
  let before: Turn = { prompt: 0, cached: 0, answer: 0 };
  let steps = 0;
  const write = (last: boolean): void => {
    const one = step(steps++);
    engine.write(sampledIds(engine.tokenizer, last ? family.last(one.thought, one.say) : family.call(one)));
  };
  const note = (turn: Turn): void => {
    const fresh = turn.prompt - before.prompt - before.answer;
    turns.push({ computed: turn.prompt - turn.cached, fresh, share: turn.cached / turn.prompt });
    before = turn;
  };
  return {
    engine,
    agent,
    turns,
    async ask(text) {
      write(false);
      note(await agent.ask(text));
    },
    async result(i, last = false) {
      write(last);
      note(await agent.result(`{"lines": ${i}, "text": "Once there was a bear with ${i} hats."}`));
    },
  };
}

const CLIENTS = [
  ["Claude Code", claudeCode],
  ["Codex", codex],
  ["the AI SDK", aiSdk],
] as const;

describe.each(some(FAMILIES, 2))("$name", (family) => {
  it.each(CLIENTS)("%s: ten turns compute what is new, and less than a block of the rest", async (_, client) => {
    // With states in one of the three: those of a text begin at the ends of prompts and answers.
    const { turns, ask, result } = await talk(family, client, client === codex ? 16 : undefined);
    await ask("What is in the files?");
    for (let i = 0; i < TURNS; i++) await result(i, i === TURNS - 1);
    expect(turns.length).toBe(TURNS + 1);
    for (const { computed, fresh, share } of turns.slice(1)) {
      expect(fresh).toBeGreaterThan(0);
      expect(computed, JSON.stringify(turns)).toBeLessThanOrEqual(fresh + BLOCK + 1);
      expect(share, JSON.stringify(turns)).toBeGreaterThanOrEqual(0.95);
    }
  });

  it("an answer that was changed is read as it is now", async () => {
    const { engine, agent, turns, ask, result } = await talk(family, aiSdk);
    await ask("What is in the files?");
    await result(0);
    await result(1);
    const before = engine.prompts.at(-1)!;
    agent.edit((text) => text.replaceAll("a.txt", "z.txt").replaceAll('limit\\":40', 'limit\\":41'));
    await result(2);
    const text = engine.tokenizer.decode(engine.prompts.at(-1)!);
    expect(text).toContain("z.txt");
    expect(text).not.toContain("a.txt");
    // The rest of the old conversation is computed again, what came before the change is not.
    expect(turns.at(-1)!.computed).toBeGreaterThan(before.length - engine.prompts[0]!.length - BLOCK);
    expect(turns.at(-1)!.computed).toBeLessThan(engine.prompts.at(-1)!.length - engine.prompts[0]!.length + 2 * BLOCK);
  });
});

describe.each(
  some(
    FAMILIES.filter(({ thinks }) => thinks),
    1,
  ),
)("$name", (family) => {
  // The templates show what was thought only until the next question, or final answer: a text
  // without it is another text, so what follows is computed again, once.
  it("a new question computes the turns again whose reasoning the template leaves out", async () => {
    const { engine, agent, turns, ask, result } = await talk(family, aiSdk);
    await ask("What is in the files?");
    for (let i = 0; i < 3; i++) await result(i, i === 2);
    engine.write(sampledIds(engine.tokenizer, family.call(step(1))));
    const { prompt, cached } = await agent.ask("And in the others?");
    const first = engine.prompts[0]!.length;
    expect(cached).toBeGreaterThan(first - BLOCK);
    expect(prompt - cached).toBeLessThan(prompt - first + BLOCK);
    await result(4);
    const { computed, fresh } = turns.at(-1)!;
    expect(computed).toBeLessThanOrEqual(Math.abs(fresh) + 2 * BLOCK);
  });
});
