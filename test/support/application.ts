// An application in a page that talks with a model: its requests, and the
// comparison of its answers with Node's.

import type { ChatEvent, ChatMessage, ChatOptions } from "../../src/index.ts";

export const MESSAGES: ChatMessage[] = [
  { role: "system", content: "You tell stories." },
  { role: "user", content: "Tell me of a fox." },
];
const SCHEMA = {
  type: "object",
  properties: { name: { type: "string", maxLength: 12 }, age: { type: "integer", minimum: 1, maximum: 99 } },
  required: ["name", "age"],
  additionalProperties: false,
};
export const GREEDY = { temperature: 0, maxTokens: 40 } as const;

export const QUESTIONS: Readonly<Record<string, ChatOptions>> = {
  "a text": GREEDY,
  "JSON by a schema": { ...GREEDY, responseFormat: { type: "json_schema", schema: SCHEMA, strict: true } },
  "a text by a regular expression": { ...GREEDY, responseFormat: { type: "regex", pattern: "[a-z]{3} [0-9]{2}" } },
  "a call of a tool": {
    temperature: 0,
    maxTokens: 300,
    tools: [{ name: "find", description: "Finds a person.", parameters: SCHEMA }],
    toolChoice: "required",
  },
};

/**
 * The application's script: functions that a test calls. @param entry what it imports hotset from
 * @param adapter where hotset/<name> is
 */
export function application(entry: string, adapter = (name: string) => `${entry}/${name}`): string {
  return `
  import { open, openInWorker } from ${JSON.stringify(entry)};
  import { hotset } from ${JSON.stringify(adapter("ai"))};
  import { promptApi } from ${JSON.stringify(adapter("prompt"))};
  let model = null;
  globalThis.load = async (options) => {
    model = await open(location.origin + "/models/tales", options);
    return model.stats().backend;
  };
  globalThis.chat = async (messages, options) => {
    const events = [];
    for await (const event of model.chat(messages, options)) events.push(event);
    return events;
  };
  globalThis.restored = async (prompt, options) => {
    const tell = async (session, text) => {
      let all = "";
      for await (const piece of session.generate(text, options)) all += piece.text;
      return all;
    };
    const session = model.session();
    const first = await tell(session, prompt);
    const again = await model.restore(await session.save());
    return [first, await tell(session, prompt + first + "!"), await tell(again, prompt + first + "!")];
  };
  globalThis.adapted = async (system, text, maxOutputTokens) => {
    const api = promptApi(model);
    const initialPrompts = [{ role: "system", content: system }];
    const session = await api.create({ initialPrompts, samplingMode: "most-predictable" });
    let streamed = "";
    for await (const chunk of session.promptStreaming(text, { responseConstraint: /[a-z]{3} [0-9]{2}/ })) streamed += chunk;
    const prompt = [{ role: "system", content: system }, { role: "user", content: [{ type: "text", text }] }];
    const { content } = await hotset(model).doGenerate({ prompt, temperature: 0, maxOutputTokens });
    return [streamed, content[0].text];
  };
  globalThis.inWorker = async (options, messages, questions) => {
    const model = await openInWorker(location.origin + "/models/tales", options);
    const answers = [];
    for (const question of questions) {
      const events = [];
      for await (const event of model.chat(messages, question)) events.push(event);
      answers.push(events);
    }
    await model.close();
    return answers;
  };
  globalThis.close = () => model.close();
  globalThis.ready = true;
`;
}

/** An answer without the parts that differ from run to run. */
export const said = (events: readonly ChatEvent[]) =>
  events.map((event) => {
    if (event.type === "finish") return [event.reason, event.usage.promptTokens, event.usage.completionTokens];
    return event.type === "tool_call" ? [event.type, event.name] : [event.type, event.text];
  });
