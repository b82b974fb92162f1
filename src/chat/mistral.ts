// Mistral's own prompt formats by tokenizer version, identical in every token id to
// mistral-common (tokens/tokenizers/instruct.py).

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

/**
 * v1: 8x7B. v2: the first with control tokens. v3: 8x22B Instruct. v7: control tokens
 * for system messages.
 */
export type MistralVersion = "v1" | "v2" | "v3" | "v7";

/** Control tokens of v2 and later. */
interface Controls {
  readonly begin: number;
  readonly end: number;
  readonly calls: number;
  readonly tools: number;
  readonly toolsEnd: number;
  readonly results: number;
  readonly resultsEnd: number;
}

/** Control tokens that came with v7. */
interface SystemControls {
  readonly system: number;
  readonly systemEnd: number;
  readonly resultContent: number;
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

const SYSTEM_NAMES: Readonly<Record<keyof SystemControls, string>> = {
  system: "[SYSTEM_PROMPT]",
  systemEnd: "[/SYSTEM_PROMPT]",
  resultContent: "[TOOL_CONTENT]",
};

/** Id of a control token, or null if the tokenizer has no such token or treats it as plain text. */
export function controlId(tokenizer: Tokenizer, name: string): number | null {
  const id = tokenizer.pieceToId(name);
  return id !== null && tokenizer.isSpecial(id) ? id : null;
}

/** The ids of several control tokens, or null if one is missing. */
function controlsOf<K extends string>(
  tokenizer: Tokenizer,
  names: Readonly<Record<K, string>>,
): Readonly<Record<K, number>> | null {
  const ids = Object.entries<string>(names).map(([key, name]) => [key, controlId(tokenizer, name)] as const);
  return ids.some(([, id]) => id === null) ? null : (Object.fromEntries(ids) as Readonly<Record<K, number>>);
}

/**
 * The version of Mistral's rules that fits a tokenizer. The vocabularies of v2 and v3 cannot be
 * told apart reliably (published copies of v3 spell its later control tokens in both ways), so v2
 * is recognised by the folder's file names. v7 has additional tokens.
 * @param names names of the folder's files
 */
export function mistralVersion(tokenizer: Tokenizer, names: readonly string[]): MistralVersion {
  if (controlsOf(tokenizer, NAMES) === null) return "v1";
  if (controlsOf(tokenizer, SYSTEM_NAMES) !== null) return "v7";
  const says = (version: string): boolean => names.some((name) => name.endsWith(`.model.${version}`));
  return says("v2") && !says("v3") ? "v2" : "v3";
}

/**
 * Encodes a conversation that checkMessages() accepted. Every text is encoded separately, with the
 * tokenizer's leading space, and as plain text: user text never becomes a control token. (v1 has no
 * control tokens: there "[INST]" is the same text either way.)
 * @throws RequestError for tools with v1
 */
export function mistralPrompt(
  tokenizer: Tokenizer,
  version: MistralVersion,
  messages: readonly ChatMessage[],
  options: PromptOptions,
): number[] {
  const controls = version === "v1" ? null : controlsOf(tokenizer, NAMES);
  const systemControls = version === "v7" ? controlsOf(tokenizer, SYSTEM_NAMES) : null;
  if ((version !== "v1" && controls === null) || (version === "v7" && systemControls === null))
    throw new RequestError(`the tokenizer has no control tokens of Mistral's ${version}`);
  const system = systemControls === null ? systemText(messages) : null;
  const turns = mergeNeighbours(withResultNames(withTrainedIds(messages))).filter(
    (message) => systemControls !== null || message.role !== "system",
  );
  const first = turns.findIndex((turn) => turn.role !== "system");
  if (turns[first]?.role !== "user") turns.splice(first < 0 ? turns.length : first, 0, { role: "user", content: "" });
  const encoder = new Encoder(tokenizer, version);
  const ids = tokenizer.bosId === null ? [] : [tokenizer.bosId];
  // Not push(...list): a call's arguments must fit on the stack, and texts may be long.
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
    } else if (turn.role === "system") {
      if (systemControls !== null) add([systemControls.system], encoder.text(turn.content), [systemControls.systemEnd]);
    } else if (version === "v2" && i < lastUser && (turn.role === "tool" || turn.toolCalls?.length)) {
      // v2 was trained without the calls and results of earlier turns.
    } else if (turn.role === "assistant") {
      add(encoder.assistant(turn, controls));
      if (!options.continueAssistant || i < turns.length - 1) add(tokenizer.eosIds.slice(0, 1));
    } else {
      if (controls === null) throw new RequestError("this model's prompt format cannot show tool results");
      const result =
        systemControls === null ? encoder.result(turn) : encoder.resultInParts(turn, systemControls.resultContent);
      add([controls.results], result, [controls.resultsEnd]);
    }
  }
  return ids;
}

class Encoder {
  readonly #tokenizer: Tokenizer;
  readonly #version: MistralVersion;

  constructor(tokenizer: Tokenizer, version: MistralVersion) {
    this.#tokenizer = tokenizer;
    this.#version = version;
  }

  text(text: string): number[] {
    return this.#tokenizer.encode(text, { addBos: false });
  }

  tools(tools: readonly ToolDefinition[]): number[] {
    const list = tools.map(({ name, description = "", parameters = {} }) => ({
      type: "function",
      function: { name, description, parameters },
    }));
    return this.text(pythonJson(list));
  }

  /**
   * Text, then calls: versions before v7 never had both in one turn, later ones have them
   * in this order.
   */
  assistant(turn: AssistantMessage, controls: Controls | null): number[] {
    const content = turn.content ?? "";
    const ids = content === "" ? [] : this.text(this.#version === "v1" ? content : withoutLastSpaces(content));
    if (!turn.toolCalls?.length) return ids;
    if (controls === null) throw new RequestError("this model's prompt format cannot show tool calls");
    const calls = turn.toolCalls.map(({ name, arguments: text, id }) => ({
      name,
      arguments: jsonOrText(text),
      ...(this.#version === "v2" ? {} : { id }),
    }));
    return ids.concat(controls.calls, this.text(pythonJson(calls)));
  }

  result({ content, toolCallId, name }: ToolMessage): number[] {
    const value = jsonOrText(content);
    if (this.#version === "v3") return this.text(pythonJson({ content: value, call_id: toolCallId }));
    return this.text(pythonJson([{ name: name ?? null, content: value }]));
  }

  /** v7's form: the call's id, a control token, the unchanged content. */
  resultInParts({ content, toolCallId }: ToolMessage, separator: number): number[] {
    return [...this.text(toolCallId), separator, ...this.text(content)];
  }
}

/** Python's rstrip(" "); a regular expression would take quadratic time. */
function withoutLastSpaces(text: string): string {
  let end = text.length;
  while (text[end - 1] === " ") end--;
  return text.slice(0, end);
}

/** A text that parses as JSON is embedded as JSON, an empty text as an empty object. */
function jsonOrText(text: string): unknown {
  if (text === "") return {};
  const value = parsePythonJson(text);
  return value === undefined ? text : value;
}
