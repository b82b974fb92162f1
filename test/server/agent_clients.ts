// Coding agents in the shape of their requests, as shared/reference/clients.md has them: each sends
// the whole conversation again with what the server answered, in its own way.

import type { Hono } from "hono";

/** A turn's tokens, as the server's usage counts them. */
export interface Turn {
  readonly prompt: number;
  readonly cached: number;
  readonly answer: number;
}

export interface Agent {
  ask(text: string): Promise<Turn>;
  /** Sends the result of the last answer's call. */
  result(text: string): Promise<Turn>;
  /** Changes something of what is sent from now on. */
  edit(change: (conversation: string) => string): void;
}

export interface Task {
  /** Whether system messages come in the middle, as Claude Code's do. */
  readonly reminds: boolean;
  readonly system: string;
  readonly tools: readonly { readonly name: string; readonly description: string; readonly parameters: object }[];
}

type Send = (path: string, body: object) => Promise<Answered>;
interface Answered {
  readonly model: string;
  readonly content: { type: string; id: string }[];
  readonly output: { type: string; call_id: string; id?: string; status?: string }[];
  readonly choices: {
    message: { content: string; reasoning_content?: string; tool_calls?: { id: string; function: Called }[] };
  }[];
  readonly usage: Record<string, number> & Record<string, Record<string, number>>;
}
interface Called {
  name: string;
  arguments: string;
}

function sender(app: Hono): Send {
  return async (path, body) => {
    const headers = { "content-type": "application/json" };
    const response = await app.request(path, { method: "POST", headers, body: JSON.stringify(body) });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${response.status}: ${text}`);
    return JSON.parse(text) as Answered;
  };
}

/**
 * Anthropic's messages: a system text that names the request, inputs and thinking sent back (of the
 * model that was asked), and now and then a system message behind a result.
 */
export function claudeCode(app: Hono, { system, tools, reminds }: Task): Agent {
  const send = sender(app);
  const ephemeral = { cache_control: { type: "ephemeral" } };
  let messages: { role: string; content: string | object[] }[] = [];
  let [asked, id] = [0, ""];
  const turn = async (part: object): Promise<Turn> => {
    messages.push({ role: "user", content: [part] });
    if (reminds && asked % 5 === 4)
      messages.push({ role: "system", content: "The list of tasks was not used lately." });
    // The mark of what is to be cached goes with the last message.
    const marked = messages.map(({ role, content }, i) => {
      if (i < messages.length - 1 || typeof content === "string") return { role, content };
      return { role, content: content.map((one) => ({ ...one, ...ephemeral })) };
    });
    const cch = (0x1234 + 7919 * asked++).toString(16).padStart(5, "0");
    const billing = `x-anthropic-billing-header: cc_version=2.1.332.4f1; cc_entrypoint=cli; cch=${cch};`;
    const { content, model, usage } = await send("/v1/messages", {
      ...{ model: "m", max_tokens: 4096, thinking: { type: "adaptive" } },
      system: [
        { type: "text", text: billing },
        { type: "text", text: system, ...ephemeral },
      ],
      tools: tools.map(({ parameters, ...tool }) => ({ ...tool, input_schema: parameters })),
      messages: marked,
    });
    messages.push({ role: "assistant", content: content.filter(({ type }) => model === "m" || type !== "thinking") });
    id = content.find(({ type }) => type === "tool_use")?.id ?? "";
    const cached = usage.cache_read_input_tokens!;
    return { prompt: usage.input_tokens! + cached, cached, answer: usage.output_tokens! };
  };
  return {
    ask: (text) => turn({ type: "text", text }),
    result: (text) => turn({ type: "tool_result", tool_use_id: id, content: [{ type: "text", text }] }),
    edit(change) {
      messages = JSON.parse(change(JSON.stringify(messages))) as typeof messages;
    },
  };
}

/** The responses API without a store: reasoning comes back in its encrypted form. */
export function codex(app: Hono, { system, tools }: Task): Agent {
  const send = sender(app);
  let input: object[] = [];
  let id = "";
  const turn = async (item: object): Promise<Turn> => {
    input.push(item);
    const { output, usage } = await send("/v1/responses", {
      ...{ model: "m", instructions: system, input, store: false, parallel_tool_calls: false, tool_choice: "auto" },
      ...{ include: ["reasoning.encrypted_content"], reasoning: { summary: "auto" }, prompt_cache_key: "k" },
      tools: [...tools.map((tool) => ({ type: "function", strict: false, ...tool })), { type: "web_search" }],
    });
    input.push(...output.map(({ id, status, ...rest }) => rest));
    id = output.find(({ type }) => type === "function_call")?.call_id ?? "";
    const { input_tokens, output_tokens, input_tokens_details } = usage;
    return { prompt: input_tokens!, cached: input_tokens_details!.cached_tokens!, answer: output_tokens! };
  };
  return {
    ask: (text) => turn({ type: "message", role: "user", content: [{ type: "input_text", text }] }),
    result: (output) => turn({ type: "function_call_output", call_id: id, output }),
    edit(change) {
      input = JSON.parse(change(JSON.stringify(input))) as typeof input;
    },
  };
}

/** Chat completions: arguments are parsed and written anew, reasoning comes back in its field. */
export function aiSdk(app: Hono, { system, tools }: Task): Agent {
  const send = sender(app);
  let messages: object[] = [{ role: "system", content: system }];
  let id = "";
  const turn = async (message: object): Promise<Turn> => {
    messages.push(message);
    const { choices, usage } = await send("/v1/chat/completions", {
      ...{ model: "m", messages, tool_choice: "auto" },
      tools: tools.map((tool) => ({ type: "function", function: tool })),
    });
    const { content, reasoning_content, tool_calls } = choices[0]!.message;
    const calls = tool_calls?.map((call) => ({
      ...{ id: call.id, type: "function" },
      function: { ...call.function, arguments: JSON.stringify(JSON.parse(call.function.arguments)) },
    }));
    messages.push({ role: "assistant", content, ...(reasoning_content && { reasoning_content }), tool_calls: calls });
    id = calls?.[0]?.id ?? "";
    const { prompt_tokens, completion_tokens, prompt_tokens_details } = usage;
    return { prompt: prompt_tokens!, cached: prompt_tokens_details!.cached_tokens!, answer: completion_tokens! };
  };
  return {
    ask: (content) => turn({ role: "user", content }),
    result: (content) => turn({ role: "tool", tool_call_id: id, content }),
    edit(change) {
      messages = JSON.parse(change(JSON.stringify(messages))) as typeof messages;
    },
  };
}
