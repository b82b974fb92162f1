// Reads the chunks of a streamed answer. What a server sends is not trusted to have any shape.

import {
  hasTemplate,
  type ModelFacts,
  type ModelState,
  PARAMETERS,
  type PageEvent,
  type ParameterRule,
  type TokenChoice,
  type TokenShare,
  type ToolCall,
} from "../engine.ts";

export type Fields = Readonly<Record<string, unknown>>;

export const fields = (value: unknown): Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
export const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const text = (value: unknown): string => (typeof value === "string" ? value : "");
export const number = (value: unknown): number => (typeof value === "number" ? value : 0);

/** The events of a chunk of /v1/chat/completions. */
export function chatEvents(chunk: unknown): PageEvent[] {
  const events: PageEvent[] = [];
  const { choices, usage } = fields(chunk);
  for (const choice of list(choices).map(fields)) {
    const delta = fields(choice.delta);
    const tokens = list(fields(choice.logprobs).content).map(tokenOf);
    const said = text(delta.content);
    if (text(delta.reasoning_content) !== "") events.push({ type: "reasoning", text: text(delta.reasoning_content) });
    if (said !== "" || tokens.length > 0)
      events.push({ type: "text", text: said, ...(tokens.length > 0 && { tokens }) });
    for (const call of list(delta.tool_calls)) events.push({ type: "call", call: callOf(fields(call)) });
    if (typeof choice.finish_reason === "string") events.push({ type: "finish", reason: choice.finish_reason });
  }
  return [...events, ...usageEvents(usage)];
}

/** The events of a chunk of /v1/completions. */
export function completionEvents(chunk: unknown): PageEvent[] {
  const events: PageEvent[] = [];
  const { choices, usage } = fields(chunk);
  for (const choice of list(choices).map(fields)) {
    const tokens = legacyTokens(fields(choice.logprobs));
    const said = text(choice.text);
    if (said !== "" || tokens.length > 0)
      events.push({ type: "text", text: said, ...(tokens.length > 0 && { tokens }) });
    if (typeof choice.finish_reason === "string") events.push({ type: "finish", reason: choice.finish_reason });
  }
  return [...events, ...usageEvents(usage)];
}

function usageEvents(usage: unknown): PageEvent[] {
  if (typeof usage !== "object" || usage === null) return [];
  const { prompt_tokens, completion_tokens, prompt_tokens_details } = fields(usage);
  const cachedTokens = number(fields(prompt_tokens_details).cached_tokens);
  const counts = { promptTokens: number(prompt_tokens), cachedTokens, answerTokens: number(completion_tokens) };
  return [{ type: "usage", usage: counts }];
}

function callOf(call: Fields): ToolCall {
  const { name, arguments: args } = fields(call.function);
  return { id: text(call.id), name: text(name), arguments: text(args) };
}

function shareOf(token: Fields): TokenShare {
  const bytes = list(token.bytes).filter((byte): byte is number => typeof byte === "number");
  return { text: text(token.token), bytes, logprob: number(token.logprob) };
}

function tokenOf(token: unknown): TokenChoice {
  const { top_logprobs, ...own } = fields(token);
  return { ...shareOf(own), top: list(top_logprobs).map((one) => shareOf(fields(one))) };
}

/** The four arrays of the legacy API; the likeliest tokens are keys of an object. */
function legacyTokens({ tokens, token_logprobs, top_logprobs }: Fields): TokenChoice[] {
  const [logprobs, tops] = [list(token_logprobs), list(top_logprobs)];
  return list(tokens).map((token, i) => {
    const top = Object.entries(fields(tops[i])).map(([key, logprob]) => legacyShare(key, number(logprob)));
    return {
      ...legacyShare(text(token), number(logprobs[i])),
      top: top.sort((a, b) => b.logprob - a.logprob),
    };
  });
}

/** "bytes:\xf0\x9f" is a part of a character. */
function legacyShare(token: string, logprob: number): TokenShare {
  const spelled = /^bytes:((?:\\x[0-9a-f]{2})+)$/.exec(token)?.[1];
  if (spelled === undefined) return { text: token, bytes: [...new TextEncoder().encode(token)], logprob };
  const bytes = spelled
    .split("\\x")
    .slice(1)
    .map((byte) => Number.parseInt(byte, 16));
  return { text: spelled, bytes, logprob };
}

const STATES: readonly string[] = ["unloaded", "loading", "ready", "unloading", "failed"] satisfies ModelState[];

/** A card of /hotset/models. */
export function factsOf(card: unknown): ModelFacts {
  const { id, state, progress, reason, context, bytes, movable, pinned, expires, facts, memory, ...load } =
    fields(card);
  return {
    id: text(id),
    state: typeof state === "string" && STATES.includes(state) ? (state as ModelState) : "ready",
    ...(typeof progress === "number" && { progress }),
    ...(typeof reason === "string" && { reason }),
    ...(typeof context === "number" && { context }),
    ...(typeof bytes === "number" && { bytes }),
    movable: movable === true,
    pinned: pinned === true,
    ...(typeof expires === "string" && { expires: new Date(expires) }),
    load: {
      running: number(load.running),
      queued: number(load.queued),
      tokensPerSecond: number(load.tokensPerSecond),
    },
    ...madeOf(fields(facts)),
    ...memoryOf(fields(memory)),
  };
}

function madeOf({ family, parameters, chat, ...facts }: Fields): Pick<ModelFacts, "made" | "chatTemplate"> {
  if (typeof family !== "string") return {};
  const { total, active } = fields(parameters);
  const { backend, device, threads } = fields(facts.backend);
  return {
    chatTemplate: hasTemplate(chat),
    made: {
      family,
      parameters: number(total),
      activeParameters: number(active),
      trainedContext: number(facts.trainedContext),
      layers: number(facts.layers),
      sparseLayers: number(facts.sparseLayers),
      experts: number(facts.experts),
      perToken: number(facts.perToken),
      vocabulary: number(facts.vocabulary),
      weights: text(facts.weights),
      ...(typeof facts.repacked === "string" && { repacked: facts.repacked }),
      kv: text(facts.kv),
      ...(typeof facts.tokenizer === "number" && { tokenizer: facts.tokenizer }),
      ...(typeof chat === "string" && { chat }),
      device: backend === "cpu" ? `${text(device)}, ${number(threads)} threads` : text(device),
      loadMs: number(facts.loadMs),
    },
  };
}

function memoryOf({ gpu, ram, disk, kv, scratch, draft }: Fields): Pick<ModelFacts, "memory"> {
  if (typeof ram !== "number") return {};
  const parts = { kv: number(kv), scratch: number(scratch), ...(typeof draft === "number" && { draft }) };
  return { memory: { gpu: number(gpu), ram, disk: number(disk), ...parts } };
}

/** The rules of /hotset/parameters, those that the page knows. */
export function rulesOf(answer: unknown): ParameterRule[] {
  return list(fields(answer).parameters)
    .map(fields)
    .flatMap(({ name, min, max, integer, ...more }) => {
      const known = PARAMETERS.find((one) => one === name);
      if (known === undefined || typeof min !== "number" || typeof max !== "number") return [];
      const usual = typeof more.default === "number" ? more.default : null;
      return [{ name: known, min, max, default: usual, integer: integer === true }];
    });
}
