// The folder's own chat template: which file it is in, what it can do, and a conversation as its ids.

import { RequestError, WeightsError } from "../errors.ts";
import { asObject, readFolderConfig, readJsonObject } from "../tokenizer/folder_config.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import { type Files, readText } from "../weights/files.ts";
import { Guard, type Seal, unusedCharacters } from "./guard.ts";
import { mergeNeighbours, type PromptOptions, shownTools, systemText } from "./messages.ts";
import { parsePythonJson } from "./python_json.ts";
import { parseTemplate, Refusal, type Template, TemplateFault } from "./sandbox.ts";
import type { ChatMessage } from "./types.ts";

const MAX_FILE = 16 * 2 ** 20;

/** A template as the folder names it. */
export interface TemplateSource {
  /** The file, for messages. */
  readonly where: string;
  readonly text: string;
  /** The one for requests with tools, where there are two. */
  readonly withTools: string | null;
  /** bos_token, eos_token and the like, by name. */
  readonly tokens: Readonly<Record<string, string>>;
}

/** The folder's template: chat_template.jinja, chat_template.json or tokenizer_config.json, in this order; or null. @throws WeightsError */
export async function readTemplate(files: Files): Promise<TemplateSource | null> {
  const { raw } = await readFolderConfig(files);
  const tokens = Object.fromEntries(
    Object.entries(raw).flatMap(([name, value]) => {
      const text = typeof value === "string" ? value : asObject(value).content;
      return name.endsWith("_token") && typeof text === "string" ? [[name, text]] : [];
    }),
  );
  const jinja = await readText(files, "chat_template.jinja", MAX_FILE);
  if (jinja !== null) return { where: `${files.label}/chat_template.jinja`, text: jinja, withTools: null, tokens };
  for (const [name, content] of [
    ["chat_template.json", await readJsonObject(files, "chat_template.json")],
    ["tokenizer_config.json", raw],
  ] as const) {
    const found = namedTemplates(content?.chat_template, `${files.label}/${name}`);
    if (found !== null) return { where: `${files.label}/${name}`, ...found, tokens };
  }
  return null;
}

/** One text, or a list of { name, template } with "default" and perhaps "tool_use". */
function namedTemplates(value: unknown, where: string): Pick<TemplateSource, "text" | "withTools"> | null {
  if (value === undefined || value === null) return null;
  if (typeof value === "string") return { text: value, withTools: null };
  const list = Array.isArray(value) ? value.map(asObject) : [];
  const named = (name: string): string | null => {
    const text = list.find((one) => one.name === name)?.template;
    return typeof text === "string" ? text : null;
  };
  const withTools = named("tool_use");
  const text = named("default") ?? withTools;
  if (text !== null) return { text, withTools };
  throw new WeightsError(`${where}: chat_template: expected a text, or a list of templates with one named "default"`);
}

/** A folder's template over its tokenizer. */
export class ChatTemplate {
  /** Whether it shows the model its tools. */
  readonly knowsTools: boolean;
  private readonly source: TemplateSource;
  private readonly plain: Template;
  private readonly toolUse: Template | null;
  private readonly guard: Guard;
  private readonly knowsSystem: boolean;

  /** @throws WeightsError for a template that cannot be read or run */
  constructor(source: TemplateSource, tokenizer: Tokenizer) {
    this.source = source;
    this.guard = new Guard(tokenizer);
    this.plain = this.located(() => parseTemplate(source.text));
    this.toolUse = source.withTools === null ? null : this.located(() => parseTemplate(source.withTools!));
    this.knowsTools = (this.toolUse ?? this.plain).mentions.has("tools");
    this.knowsSystem = this.trySystem();
  }

  /**
   * A checked conversation as ids; control tokens come from the template only. The system messages stand first, as one; where the template refuses
   * that role or leaves its text out, its text opens the first user message. Neighbours of one role are merged where the template refuses
   * them apart.
   * @throws RequestError with the template's own message where it refuses the conversation; WeightsError where it fails
   */
  prompt(messages: readonly ChatMessage[], options: PromptOptions): number[] {
    const system = systemText(messages);
    const turns = messages.filter((message) => message.role !== "system");
    const [seal, cut] = unusedCharacters(2, [
      JSON.stringify([messages, options.tools ?? [], this.source.tokens]),
      this.source.text,
      this.source.withTools ?? "",
    ]) as [string, string];
    let refusal: unknown;
    for (const tried of [turns, mergeNeighbours(turns)]) {
      const all = this.withSystem(tried, system);
      try {
        return this.guard.encode(seal, (sealed) => this.render(all, options, sealed, cut));
      } catch (error) {
        if (!(error instanceof RequestError)) throw error;
        refusal ??= error;
      }
    }
    throw refusal;
  }

  private withSystem(turns: readonly ChatMessage[], system: string | null): readonly ChatMessage[] {
    if (system === null) return turns;
    if (this.knowsSystem) return [{ role: "system", content: system }, ...turns];
    const [first, ...rest] = turns;
    if (first?.role !== "user") return [{ role: "user", content: system }, ...turns];
    return [{ role: "user", content: first.content === "" ? system : `${system}\n\n${first.content}` }, ...rest];
  }

  /** Whether a system message reaches the prompt; found out with one, since templates refuse the role in many words, or pass over it. */
  private trySystem(): boolean {
    const probe = "hotset asks whether this is read";
    const messages: ChatMessage[] = [
      { role: "system", content: probe },
      { role: "user", content: "Hello" },
    ];
    try {
      return this.render(messages, {}, (text) => text, "\uE000").includes(probe);
    } catch (error) {
      if (error instanceof RequestError) return false;
      throw error;
    }
  }

  /** The rendered text. `cut` marks the end of an assistant's text to be continued: what follows it is left out. */
  render(messages: readonly ChatMessage[], options: PromptOptions, seal: Seal, cut: string): string {
    const tools = this.knowsTools ? shownTools(options) : [];
    const continued = options.continueAssistant ? messages.length - 1 : -1;
    const variables = {
      bos_token: "",
      eos_token: "",
      ...this.source.tokens,
      messages: messages.map((message, i) => templateMessage(message, seal, i === continued ? cut : "")),
      tools:
        tools.length === 0
          ? null
          : tools.map(({ name, description = "", parameters = {} }) => ({
              type: "function",
              function: sealAll({ name, description, parameters }, seal),
            })),
      add_generation_prompt: continued < 0,
    };
    const template = tools.length > 0 && this.toolUse !== null ? this.toolUse : this.plain;
    const text = this.located(() => template.render(variables));
    if (continued < 0) return text;
    const end = text.lastIndexOf(cut);
    if (end >= 0) return text.slice(0, end);
    throw new RequestError(
      `${this.source.where}: the chat template leaves out the assistant's text that is to be continued`,
    );
  }

  private located<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      if (error instanceof Refusal) {
        throw new RequestError(`messages: the chat template of ${this.source.where} refuses them: ${error.message}`);
      }
      if (!(error instanceof TemplateFault)) throw error;
      throw new WeightsError(`${this.source.where}: chat template: ${error.message}`, { cause: error });
    }
  }
}

/** A message as templates expect it (transformers' form). */
function templateMessage(message: ChatMessage, seal: Seal, cut: string): Record<string, unknown> {
  if (message.role === "tool") {
    const { content, toolCallId, name } = message;
    return {
      role: "tool",
      content: seal(content),
      tool_call_id: seal(toolCallId),
      ...(name === undefined ? {} : { name: seal(name) }),
    };
  }
  if (message.role !== "assistant") return { role: message.role, content: seal(message.content) };
  const calls = message.toolCalls?.map(({ id, name, arguments: text }) => ({
    id: seal(id),
    type: "function",
    function: { name: seal(name), arguments: sealAll(argumentsOf(text), seal) },
  }));
  return {
    role: "assistant",
    ...(message.content === undefined ? {} : { content: seal(message.content) + cut }),
    ...(calls && calls.length > 0 ? { tool_calls: calls } : {}),
  };
}

/** Templates take arguments as an object; what is none stays text. */
function argumentsOf(text: string): unknown {
  return parsePythonJson(text) instanceof Map ? JSON.parse(text) : text;
}

/** The same data with every text and key sealed. */
function sealAll(data: unknown, seal: Seal): unknown {
  if (typeof data === "string") return seal(data);
  if (typeof data !== "object" || data === null) return data;
  if (Array.isArray(data)) return data.map((one) => sealAll(one, seal));
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [seal(key), sealAll(value, seal)]));
}
