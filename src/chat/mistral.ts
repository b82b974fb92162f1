// Mistral's own prompts by tokenizer version, exact to the token id (mistral-common, tokens/tokenizers/instruct.py).

import { RequestError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import {
  mergeNeighbours,
  type PromptOptions,
  shownTools,
  systemText,
  withResultNames,
  withTrainedIds,
} from "./messages.ts";
import { parsePythonJson, pythonJson } from "./python_json.ts";
import type { AssistantMessage, ChatMessage, ToolDefinition, ToolMessage } from "./types.ts";

/** v1: 8x7B. v2: the first with control tokens. v3: 8x22B Instruct. */
export type MistralVersion = "v1" | "v2" | "v3";

/** Control tokens of v2 and v3. */
interface Controls {
  readonly begin: number;
  readonly end: number;
  readonly calls: number;
  readonly tools: number;
  readonly toolsEnd: number;
  readonly results: number;
  readonly resultsEnd: number;
}

const NAMES: Readonly<Record<keyof Controls, string>> = {
  begin: "[INST]",
  end: "[/INST]",
  calls: "[TOOL_CALLS]",
  tools: "[AVAILABLE_TOOLS]",
  toolsEnd: "[/AVAILABLE_TOOLS]",
  results: "[TOOL_RESULTS]",
  resultsEnd: "[/TOOL_RESULTS]",
};

/** Id of a control token, or null where the tokenizer has no such token or it is plain text. */
export function controlId(tokenizer: Tokenizer, name: string): number | null {
  const id = tokenizer.pieceToId(name);
  return id !== null && tokenizer.isSpecial(id) ? id : null;
}

function controlsOf(tokenizer: Tokenizer): Controls | null {
  const ids = Object.entries(NAMES).map(([key, name]) => [key, controlId(tokenizer, name)] as const);
  return ids.some(([, id]) => id === null) ? null : (Object.fromEntries(ids) as unknown as Controls);
}

/**
 * Which of Mistral's rules fit a tokenizer. Vocabularies of v2 and v3 differ in nothing that is certain (published copies of v3 spell its
 * later control tokens in both ways), so v2 is what the folder's file names say.
 * @param names the folder's files
 */
export function mistralVersion(tokenizer: Tokenizer, names: readonly string[]): MistralVersion {
  if (controlsOf(tokenizer) === null) return "v1";
  const says = (version: string): boolean => names.some((name) => name.endsWith(`.model.${version}`));
  return says("v2") && !says("v3") ? "v2" : "v3";
}

/**
 * The ids of a checked conversation. Every text is encoded by itself, with the leading space that the tokenizer gives it, and as text: what a
 * user writes never becomes a control token. (In v1 "[INST]" is text for the model, too: there it cannot be told apart.)
 * @throws RequestError for tools with v1
 */
export function mistralPrompt(
  tokenizer: Tokenizer,
  version: MistralVersion,
  messages: readonly ChatMessage[],
  options: PromptOptions,
): number[] {
  const controls = version === "v1" ? null : controlsOf(tokenizer);
  if (version !== "v1" && controls === null)
    throw new RequestError(`the tokenizer has no control tokens of Mistral's ${version}`);
  const system = systemText(messages);
  const turns = mergeNeighbours(withResultNames(withTrainedIds(messages))).filter(
    (message) => message.role !== "system",
  );
  if (turns[0]?.role !== "user") turns.unshift({ role: "user", content: "" });
  const encoder = new Encoder(tokenizer, version);
  const ids = tokenizer.bosId === null ? [] : [tokenizer.bosId];
  // One by one: a call takes no more arguments than fit on the stack, and texts may be long.
  const add = (...lists: readonly (readonly number[])[]): void => {
    for (const list of lists) for (const id of list) ids.push(id);
  };
  const lastUser = turns.findLastIndex((turn) => turn.role === "user");
  const withSystem = version === "v1" ? 0 : lastUser;
  for (const [i, turn] of turns.entries()) {
    if (turn.role === "user") {
      const text = i === withSystem && system !== null ? `${system}\n\n${turn.content}` : turn.content;
      if (controls === null) add(encoder.text(`[INST] ${text} [/INST]`));
      else {
        const tools = i === lastUser ? shownTools(options) : [];
        if (tools.length > 0) add([controls.tools], encoder.tools(tools), [controls.toolsEnd]);
        add([controls.begin], encoder.text(text), [controls.end]);
      }
    } else if (version === "v2" && i < lastUser && (turn.role === "tool" || turn.toolCalls?.length)) {
      // v2 was trained without calls and results of earlier turns.
    } else if (turn.role === "assistant") {
      add(encoder.assistant(turn, controls));
      if (!options.continueAssistant || i < turns.length - 1) add(tokenizer.eosIds.slice(0, 1));
    } else if (turn.role === "tool") {
      if (controls === null) throw new RequestError("this model's prompts have no place for results of tools");
      add([controls.results], encoder.result(turn), [controls.resultsEnd]);
    }
  }
  return ids;
}

class Encoder {
  private readonly tokenizer: Tokenizer;
  private readonly version: MistralVersion;

  constructor(tokenizer: Tokenizer, version: MistralVersion) {
    this.tokenizer = tokenizer;
    this.version = version;
  }

  text(text: string): number[] {
    return this.tokenizer.encode(text, { addBos: false });
  }

  tools(tools: readonly ToolDefinition[]): number[] {
    const list = tools.map(({ name, description = "", parameters = {} }) => ({
      type: "function",
      function: { name, description, parameters },
    }));
    return this.text(pythonJson(list));
  }

  /** Text, then calls: earlier versions never saw both in one turn, later ones have them in this order. */
  assistant(turn: AssistantMessage, controls: Controls | null): number[] {
    const content = turn.content ?? "";
    const ids = content === "" ? [] : this.text(this.version === "v1" ? content : withoutLastSpaces(content));
    if (!turn.toolCalls?.length) return ids;
    if (controls === null) throw new RequestError("this model's prompts have no place for tool calls");
    const calls = turn.toolCalls.map(({ name, arguments: text, id }) => ({
      name,
      arguments: jsonOrText(text),
      ...(this.version === "v3" ? { id } : {}),
    }));
    return ids.concat(controls.calls, this.text(pythonJson(calls)));
  }

  result({ content, toolCallId, name }: ToolMessage): number[] {
    const value = jsonOrText(content);
    if (this.version === "v3") return this.text(pythonJson({ content: value, call_id: toolCallId }));
    return this.text(pythonJson([{ name: name ?? null, content: value }]));
  }
}

/** Python's rstrip(" "); a regular expression for it takes quadratic time. */
function withoutLastSpaces(text: string): string {
  let end = text.length;
  while (text[end - 1] === " ") end--;
  return text.slice(0, end);
}

/** What parses as JSON is embedded as JSON; nothing at all as an empty object. */
function jsonOrText(text: string): unknown {
  if (text === "") return {};
  const value = parsePythonJson(text);
  return value === undefined ? text : value;
}
