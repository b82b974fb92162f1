// The folder's own chat template: finds its file, probes what it supports, and encodes
// conversations with it.

import { RequestError, WeightsError } from "../errors.ts";
import { asObject, type JsonObject, readFolderConfig, readJsonObject, tokenName } from "../tokenizer/folder_config.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import { type Files, readText } from "../weights/files.ts";
import { cut, plain, type Str } from "./jinja/text.ts";
import { Untrusted } from "./jinja/values.ts";
import { arrangements, type PromptOptions, shownTools } from "./messages.ts";
import { parsePythonJson } from "./python_json.ts";
import { parseTemplate, Refusal, type Template, TemplateFault } from "./sandbox.ts";
import { type Disguise, Sealer, unusedCharacters } from "./sealer.ts";
import { DEFAULT, MAIN, OLDER, TOOL_USE } from "./template_files.ts";
import type { ChatMessage } from "./types.ts";

const MAX_FILE = 16 * 2 ** 20;
/** Maximum number of distinct first characters of control tokens that are disguised. */
const MAX_DISGUISES = 16;

/** What a prompt is made with; `nullText` as in CallStyle. */
export type TemplateOptions = PromptOptions & { readonly nullText?: boolean };

/** A chat template read from a folder. */
export interface TemplateSource {
  /** The file, for error messages. */
  readonly where: string;
  readonly text: string;
  /** The template for requests with tools, if the folder has a separate one. */
  readonly withTools: string | null;
  /** The file of `withTools`, if it is a different one. */
  readonly whereTools?: string;
  /** Special tokens by name (bos_token, eos_token, ...), and the list additional_special_tokens. */
  readonly tokens: Readonly<Record<string, string | readonly string[]>>;
}

/**
 * Finds the folder's template: chat_template.jinja, chat_template.json or tokenizer_config.json, in
 * this order; null if there is none. The template for requests with tools is looked up in the same
 * way, and may come from a different file.
 * @throws WeightsError
 */
export async function readTemplate(files: Files): Promise<TemplateSource | null> {
  const { raw, map } = await readFolderConfig(files);
  const found: NamedTemplates[] = [
    { where: MAIN, text: await readText(files, MAIN, MAX_FILE), withTools: null },
    { where: DEFAULT, text: await readText(files, DEFAULT, MAX_FILE), withTools: null },
    { where: TOOL_USE, text: null, withTools: await readText(files, TOOL_USE, MAX_FILE) },
    namedTemplates((await readJsonObject(files, OLDER))?.chat_template, OLDER, files.label),
    namedTemplates(raw.chat_template, "tokenizer_config.json", files.label),
  ];
  const forTools = found.find((one) => one.withTools !== null);
  const withTools = forTools?.withTools ?? null;
  const { where, text } = found.find((one) => one.text !== null) ?? { where: forTools?.where, text: withTools };
  if (text === null) return null;
  const file = (name: string | undefined): string => `${files.label}/${name}`;
  const tokens = specialTokens({ ...map, ...raw });
  return { where: file(where), text, withTools, ...(forTools && { whereTools: file(forTools.where) }), tokens };
}

/**
 * Special tokens as transformers passes them to templates: by name, the additional ones as a list.
 */
function specialTokens(config: JsonObject): TemplateSource["tokens"] {
  const extra = config.extra_special_tokens; // a map from names, or transformers 5's name for the list
  const list = config.additional_special_tokens ?? extra;
  const named = { ...config, ...asObject(extra) };
  return {
    ...Object.fromEntries(
      Object.entries(named).flatMap(([name, value]) => {
        const text = tokenName(value);
        return name.endsWith("_token") && text !== null ? [[name, text]] : [];
      }),
    ),
    ...(Array.isArray(list) && { additional_special_tokens: list.flatMap((one) => tokenName(one) ?? []) }),
  };
}

/** The templates of one file. */
interface NamedTemplates {
  readonly where: string;
  readonly text: string | null;
  readonly withTools: string | null;
}

/**
 * Reads chat_template: one text, or templates named "default" and perhaps "tool_use", as a list of
 * { name, template } or a map.
 */
function namedTemplates(value: unknown, where: string, label: string): NamedTemplates {
  if (value === undefined || value === null) return { where, text: null, withTools: null };
  if (typeof value === "string") return { where, text: value, withTools: null };
  const list = Array.isArray(value)
    ? value.map(asObject)
    : Object.entries(asObject(value)).map(([name, template]) => ({ name, template }));
  const named = (name: string): string | null => {
    const text = list.find((one) => one.name === name)?.template;
    return typeof text === "string" ? text : null;
  };
  const [text, withTools] = [named("default"), named("tool_use")];
  if (text !== null || withTools !== null || (typeof value === "object" && list.length === 0))
    return { where, text, withTools };
  const names = list.map(({ name }) => JSON.stringify(name)).join(", ");
  throw new WeightsError(
    `${label}/${where}: chat_template: expected a text, or a list of templates with one named "default", found ${names === "" ? JSON.stringify(value) : `those named ${names.slice(0, 200)}`}`,
  );
}

/** A folder's chat template with its tokenizer. */
export class ChatTemplate {
  /** Whether the template shows tools to the model. */
  readonly knowsTools: boolean;
  /** Control tokens that the template puts after an assistant's text. */
  readonly stopIds: readonly number[];
  readonly #source: TemplateSource;
  readonly #plain: Template;
  readonly #toolUse: Template | null;
  readonly #sealer: Sealer;
  readonly #knowsSystem: boolean;
  /** Whether it shows a system message behind an answer there. */
  readonly #keepsSystem: boolean;
  /** Whether the template takes the arguments of calls as texts; null until a prompt has a call. */
  #textArguments: boolean | null = null;

  /** @throws WeightsError for a template that cannot be read or run */
  constructor(source: TemplateSource, tokenizer: Tokenizer) {
    this.#source = source;
    this.#sealer = new Sealer(tokenizer);
    this.#plain = this.#located(() => parseTemplate(source.text));
    const { withTools, whereTools } = source;
    this.#toolUse = withTools === null ? null : this.#located(() => parseTemplate(withTools), whereTools);
    this.knowsTools = (this.#toolUse ?? this.#plain).mentions.has("tools");
    this.#knowsSystem = this.#trySystem();
    this.#keepsSystem = this.#tryLaterSystem();
    this.stopIds = this.#findEnd(tokenizer);
  }

  /**
   * Encodes a conversation that checkMessages() accepted; control tokens come from the template
   * only. The system messages before the first answer are joined into one at the start; if the
   * template rejects or ignores that role, its text is put in front of the first user message. If
   * the template rejects consecutive messages of one role, they are merged, and in the end all
   * system messages joined.
   * @throws RequestError with the template's own message if it rejects the conversation;
   * WeightsError if the template fails
   */
  prompt(messages: readonly ChatMessage[], options: TemplateOptions): number[] {
    const unused = (count: number): string[] =>
      unusedCharacters(count, [
        JSON.stringify([messages, options.tools ?? [], options.templateVariables ?? {}, this.#source.tokens]),
        this.#source.text,
        this.#source.withTools ?? "",
      ]);
    const end = options.continueAssistant ? unused(1)[0]! : "";
    const masks = (): string[] => unused(1 + MAX_DISGUISES).slice(1); // the first may be `end`
    if (messages.some((message) => message.role === "assistant" && message.toolCalls?.length))
      this.#textArguments ??= this.#tryArguments(options.nullText ?? false);
    let refusal: unknown;
    for (const { turns, system } of arrangements(messages, this.#keepsSystem)) {
      const all = this.#withSystem(turns, system);
      try {
        return this.#sealer.encode(masks, (disguise) => this.#write(all, options, disguise, end));
      } catch (error) {
        if (!(error instanceof RequestError)) throw error;
        refusal ??= error;
      }
    }
    throw refusal;
  }

  #withSystem(turns: readonly ChatMessage[], system: string | null): readonly ChatMessage[] {
    if (system === null) return turns;
    if (this.#knowsSystem) return [{ role: "system", content: system }, ...turns];
    const [first, ...rest] = turns;
    if (first?.role !== "user") return [{ role: "user", content: system }, ...turns];
    return [{ role: "user", content: first.content === "" ? system : `${system}\n\n${first.content}` }, ...rest];
  }

  /**
   * Whether a system message reaches the prompt. Probed with one: templates reject the role in
   * various ways, or ignore it.
   */
  #trySystem(): boolean {
    const probe = "hotset probes for system messages";
    const messages: ChatMessage[] = [
      { role: "system", content: probe },
      { role: "user", content: "Hello" },
    ];
    return this.#tryOut(messages)?.includes(probe) ?? false;
  }

  #tryLaterSystem(): boolean {
    const [answer, probe] = ["hotset probes an answer", "hotset probes what is behind it"];
    const contents = { user: "Hello", assistant: answer, system: probe };
    const roles = ["user", "assistant", "system", "user"] as const;
    const text = this.#tryOut(roles.map((role) => ({ role, content: contents[role] }))) ?? "";
    return text.includes(answer) && text.indexOf(probe) > text.indexOf(answer);
  }

  /**
   * Whether a template fails with arguments that are an object, as transformers gives them, or
   * writes them as Python does, and takes them as a text.
   */
  #tryArguments(nullText: boolean): boolean {
    const text = '{"probe": "hotset"}';
    const [name, id] = ["example", "hotset000"];
    const messages: ChatMessage[] = [
      { role: "user", content: "Hello" },
      { role: "assistant", toolCalls: [{ id, name, arguments: text }] },
      { role: "tool", toolCallId: id, name, content: "1" },
    ];
    const shown = (asText: boolean): string | null => {
      try {
        return this.#tryOut(messages, { nullText }, asText);
      } catch (error) {
        if (error instanceof WeightsError) return null;
        throw error;
      }
    };
    const shownObject = shown(false);
    return (shownObject === null || shownObject.includes("{'probe'")) && (shown(true)?.includes(text) ?? false);
  }

  /** The token after an assistant's text: the model was trained to end its answers with it. */
  #findEnd(tokenizer: Tokenizer): readonly number[] {
    const probe = "hotset probes for the end of an answer";
    const text = this.#tryOut([
      { role: "user", content: "Hello" },
      { role: "assistant", content: probe },
    ]);
    const at = text?.lastIndexOf(probe) ?? -1;
    if (!text || at < 0) return [];
    const behind = text.slice(at + probe.length).trimStart();
    const [id] = tokenizer.encode(behind, { addBos: false, specialTokens: true });
    if (id === undefined || id === tokenizer.bosId) return [];
    // Some tokenizers do not mark it as a control token; ordinary text must not be
    // mistaken for one.
    const marked = tokenizer.isSpecial(id) || /^<\|.+\|>/.test(tokenizer.idToPiece(id) ?? "");
    return marked ? [id] : [];
  }

  /**
   * Renders a probe conversation, with an example tool if need be; null if the template rejects it.
   * @throws WeightsError
   */
  #tryOut(messages: readonly ChatMessage[], fixed: TemplateOptions = {}, textArguments = false): string | null {
    const run = (options: TemplateOptions): string | null => {
      try {
        const all = { ...fixed, ...options };
        return plain(this.#write(messages, all, (text) => text, String.fromCharCode(0xe000), textArguments));
      } catch (error) {
        if (error instanceof RequestError) return null;
        throw error;
      }
    };
    try {
      return run({});
    } catch (error) {
      if (!this.knowsTools) throw error;
      return run({
        tools: [{ name: "example", description: "An example.", parameters: { type: "object", properties: {} } }],
      });
    }
  }

  /**
   * The rendered text. `end` marks the end of an assistant's text to be continued; anything after
   * it is cut off.
   */
  render(messages: readonly ChatMessage[], options: PromptOptions, disguise: Disguise, end: string): string {
    return plain(this.#write(messages, options, disguise, end));
  }

  /** The same, with its untrusted characters marked. */
  #write(
    messages: readonly ChatMessage[],
    options: TemplateOptions,
    disguise: Disguise,
    end: string,
    textArguments = this.#textArguments ?? false,
  ): Str {
    const tools = this.knowsTools ? shownTools(options) : [];
    const continued = options.continueAssistant ? messages.length - 1 : -1;
    const given = Object.entries(options.templateVariables ?? {});
    const variables = {
      documents: null, // transformers always sets it
      ...Object.fromEntries(given.map(([name, value]) => [name, new Untrusted(value, disguise)])),
      bos_token: "",
      eos_token: "",
      ...this.#source.tokens,
      messages: messages.map((message, i) =>
        templateMessage(message, disguise, i === continued ? end : "", textArguments, options.nullText ?? false),
      ),
      tools:
        tools.length === 0
          ? null
          : tools.map(({ name, description = "", parameters = {} }) => ({
              type: "function",
              function: new Untrusted({ name, description, parameters }, disguise),
            })),
      add_generation_prompt: continued < 0,
    };
    const withTools = tools.length > 0 ? this.#toolUse : null;
    const template = withTools ?? this.#plain;
    const where = withTools === null ? this.#source.where : this.#source.whereTools;
    const text = this.#located(() => {
      try {
        return template.write(variables);
      } catch (error) {
        // Some templates loop over the tools without checking for null.
        if (!(error instanceof TemplateFault) || variables.tools !== null) throw error;
        return template.write({ ...variables, tools: [] });
      }
    }, where);
    if (continued < 0) return text;
    const at = plain(text).lastIndexOf(end);
    if (at >= 0) return cut(text, 0, at);
    throw new RequestError(
      `${this.#source.where}: the chat template leaves out the assistant's last text, so it cannot be continued`,
    );
  }

  #located<T>(run: () => T, where = this.#source.where): T {
    try {
      return run();
    } catch (error) {
      if (error instanceof Refusal) {
        throw new RequestError(`messages: rejected by the chat template of ${where}: ${error.message}`);
      }
      if (!(error instanceof TemplateFault)) throw error;
      throw new WeightsError(`${where}: chat template: ${error.message}`, { cause: error });
    }
  }
}

/** Converts a message to the form that transformers passes to templates. */
function templateMessage(
  message: ChatMessage,
  disguise: Disguise,
  end: string,
  textArguments: boolean,
  nullText: boolean,
): Record<string, unknown> {
  const untrusted = (data: unknown): Untrusted => new Untrusted(data, disguise);
  if (message.role === "tool") {
    const { content, toolCallId, name } = message;
    return {
      role: "tool",
      content: untrusted(content),
      tool_call_id: untrusted(toolCallId),
      ...(name === undefined ? {} : { name: untrusted(name) }),
    };
  }
  if (message.role !== "assistant") return { role: message.role, content: untrusted(message.content) };
  const calls = message.toolCalls?.map(({ id, name, arguments: text }) => ({
    id: untrusted(id),
    type: "function",
    function: { name: untrusted(name), arguments: untrusted(textArguments ? text : argumentsOf(text)) },
  }));
  const { content = "" } = message;
  const text = content + end === "" && nullText && calls ? { content: null } : { content: untrusted(content + end) };
  return {
    role: "assistant",
    ...(message.content === undefined && text.content !== null ? {} : text),
    ...(message.reasoning === undefined
      ? {}
      : { reasoning_content: untrusted(message.reasoning), thinking: untrusted(message.reasoning) }),
    ...(calls && calls.length > 0 ? { tool_calls: calls } : {}),
  };
}

/**
 * Arguments for the template: an object that keeps the format of numbers, or the text if it is not
 * a JSON object.
 */
function argumentsOf(text: string): unknown {
  const parsed = parsePythonJson(text);
  return parsed instanceof Map ? parsed : text;
}
