// Incremental parser of harmony's answers: messages in channels, with headers between control
// tokens.

import { isObject } from "./call_list.ts";
import { newCallId } from "./messages.ts";
import type { ReplyEvent, ReplyOptions, ReplyParser } from "./reply.ts";
import { beginnings, controlMarks, spelled, withoutBeginning } from "./tagged_reply.ts";

const [START, CHANNEL, MESSAGE, CONSTRAIN] = ["<|start|>", "<|channel|>", "<|message|>", "<|constrain|>"] as const;
const ENDS = ["<|end|>", "<|return|>", "<|call|>"];
/** What ends a message: the end marks, and the beginning of another whose end was left out. */
const BREAKS = [...ENDS, START, CHANNEL];
const MARKS = [...BREAKS, MESSAGE, CONSTRAIN];
/** How an answer begins, which follows "<|start|>assistant"; any other is taken for plain text. */
const BEGINS = [...MARKS, "to="];

export interface HarmonyHeader {
  readonly role: string;
  readonly channel: string | null;
  readonly recipient: string | null;
  readonly type: string | null;
  /** Surplus words: they belong to the content. */
  readonly surplus: string;
}

/**
 * Reads a header, the text between <|start|> and <|message|>, by the rules of openai/harmony. The
 * recipient may stand in front of the channel or behind it.
 */
export function harmonyHeader(text: string): HarmonyHeader {
  const [first, last] = [text.indexOf(CHANNEL), text.lastIndexOf(CHANNEL)];
  // Models sometimes begin anew; the last channel counts.
  const single = first < last ? text.slice(0, first) + text.slice(last) : text;
  const channel = /<\|channel\|>(?:\s*(?!to=)([^\s<]+))?/.exec(single);
  const rest = channel === null ? single : single.replace(channel[0], " ");
  const words = rest
    .replaceAll(CONSTRAIN, ` ${CONSTRAIN}`)
    .split(/\s+/)
    .filter((word) => word !== "");
  const role = words.shift() ?? "";
  let recipient: string | null = null;
  let type: string | null = null;
  const to = words.findIndex((word) => word.startsWith("to="));
  if (to >= 0) recipient = words.splice(to, 1)[0]!.slice(3);
  const constrained = words.findLastIndex((word) => word.startsWith(CONSTRAIN));
  if (constrained >= 0) type = words.splice(constrained, 1)[0]!.slice(CONSTRAIN.length);
  else if (words.length > 0 && (recipient !== null || words.length > 1)) type = words.pop()!;
  else if (words.at(-1) === "json") type = words.pop()!; // the reference takes it for a recipient
  if (recipient === null) recipient = words.pop() ?? null;
  return { role, channel: channel?.[1] || null, recipient, type, surplus: words.join(" ") };
}

export function createHarmonyParser(options: ReplyOptions): ReplyParser {
  return new HarmonyParser(options);
}

class HarmonyParser implements ReplyParser {
  readonly #options: ReplyOptions;
  readonly #controls: ReadonlyMap<number, string>;
  #events: ReplyEvent[] = [];
  #held = "";
  /** "first": the header whose role the prompt wrote; "header": a later one, or nothing yet. */
  #state: "first" | "header" | "text" | "reasoning" | "call";
  #name = "";
  /** Kinds of messages that were shown; a further one of the kind begins a paragraph. */
  readonly #shown = new Set<string>();
  #apart = false;
  #calls = 0;
  #skipSpace: boolean;
  #spaceLeftOut = false;
  /** Code points of the text so far, and those in front of the first that is shown. */
  #taken = 0;
  #reasoned: number | null = null;
  #reasoningTokens = 0;

  constructor(options: ReplyOptions) {
    this.#options = options;
    this.#controls = controlMarks(options.tokenizer, MARKS);
    this.#state = options.continued ? "text" : "first";
    this.#skipSpace = !options.continued;
  }

  get spaceLeftOut(): boolean {
    return this.#spaceLeftOut;
  }

  get reasoned(): number {
    return this.#reasoned ?? this.#taken;
  }

  get reasoningTokens(): number {
    return this.#reasoningTokens;
  }

  push(text: string, ids: readonly number[]): ReplyEvent[] {
    this.#taken += [...text].length;
    this.#held += spelled(text, ids, this.#controls, this.#options.tokenizer);
    const reasoning = this.#state === "reasoning";
    while (this.#state === "first" || this.#state === "header" ? this.#inHeader() : this.#inBody());
    if (reasoning) this.#reasoningTokens += ids.length;
    return this.#flush();
  }

  end(cut = false): ReplyEvent[] {
    const held = this.#held;
    this.#held = "";
    if (this.#state === "call") this.#endCall(held, cut);
    else if (this.#state === "text" || this.#state === "reasoning")
      this.#emit(cut ? withoutBeginning(held, BREAKS) : held);
    else if (this.#toCall(held) && (cut || this.#options.required)) this.#events.push({ type: "cut" });
    else if (this.#state === "first" && !MARKS.some((mark) => held.includes(mark)))
      this.#plain(cut ? withoutBeginning(held, BEGINS) : held);
    else if (held.trim() !== "") this.#lost(held, cut, "the answer ends in a header");
    this.#state = "header";
    return this.#flush();
  }

  #toCall(header: string): boolean {
    return /(?:^|\s)to=(?!assistant|user)/.test(header);
  }

  /** True once the header is complete, or is none. */
  #inHeader(): boolean {
    const seen = this.#held.trimStart();
    if (this.#state === "first" && !BEGINS.some((mark) => mark.startsWith(seen.slice(0, mark.length)))) {
      this.#begin("text");
      return true;
    }
    const at = this.#held.indexOf(MESSAGE);
    const end = ENDS.map((mark) => [this.#held.indexOf(mark), mark.length] as const).find(([found]) => found >= 0);
    if (end !== undefined && (at < 0 || end[0] < at)) {
      // A message without a header, or an end mark twice.
      const lost = this.#held.slice(0, end[0]);
      this.#held = this.#held.slice(end[0] + end[1]);
      if (lost.trim() !== "") this.#lost(lost, false, "a header without <|message|>");
      this.#state = "header";
      return true;
    }
    if (at < 0) return false;
    const text = this.#held.slice(0, at);
    const started = text.lastIndexOf(START);
    const own = started >= 0 ? text.slice(started + START.length) : text;
    const roled = started >= 0 || (this.#state === "header" && !own.trimStart().startsWith(CHANNEL));
    const { channel, recipient, surplus } = harmonyHeader(roled ? own : `assistant ${own}`);
    this.#held = `${surplus === "" ? "" : `${surplus} `}${this.#held.slice(at + MESSAGE.length)}`;
    const toTool = recipient !== null && !["all", "assistant", "user"].includes(recipient);
    this.#name = toTool ? recipient.replace(/^functions\./, "") : "";
    this.#begin(toTool ? "call" : channel === "analysis" ? "reasoning" : "text");
    return true;
  }

  #begin(state: "text" | "reasoning" | "call"): void {
    this.#state = state;
    this.#apart = this.#shown.has(state);
  }

  /** What stands where a header should, and ends without <|message|>: text without one. */
  #lost(held: string, cut: boolean, problem: string): void {
    const begun = cut && ["assistant", START].some((own) => own.startsWith(held.trim()));
    if (!begun && !MARKS.some((mark) => held.includes(mark))) this.#plain(held);
    else if (!cut) this.#events.push({ type: "malformed", problem });
  }

  #plain(text: string): void {
    this.#begin("text");
    this.#emit(text);
  }

  /** True once the message is complete. */
  #inBody(): boolean {
    let [at, mark] = [-1, ""];
    for (const one of BREAKS) {
      const found = this.#held.indexOf(one);
      if (found >= 0 && (at < 0 || found < at)) [at, mark] = [found, one];
    }
    if (at < 0) {
      if (this.#state === "call") return false;
      const sure = this.#held.length - beginnings(this.#held, BREAKS);
      const text = this.#held.slice(0, sure);
      this.#held = this.#held.slice(sure);
      this.#emit(text);
      return false;
    }
    const body = this.#held.slice(0, at);
    this.#held = this.#held.slice(ENDS.includes(mark) ? at + mark.length : at);
    if (this.#state === "call") this.#endCall(body, false);
    else this.#emit(body);
    this.#state = "header";
    return true;
  }

  #endCall(body: string, cut: boolean): void {
    const text = body.trim() === "" && !cut ? "{}" : body.trim();
    if (!isObject(text)) {
      if (cut || this.#options.required) this.#events.push({ type: "cut" });
      else this.#fail(`expected an object of arguments for ${JSON.stringify(this.#name)}`, body);
    } else if (!this.#options.tools.has(this.#name)) {
      this.#fail(`there is no tool ${JSON.stringify(this.#name)}`, body);
    } else {
      const index = this.#calls++;
      const [id, name] = [newCallId(), this.#name];
      this.#events.push({ type: "tool_call", index, id, name }, { type: "tool_arguments", index, text });
    }
  }

  #fail(problem: string, raw: string): void {
    this.#events.push({ type: "malformed", problem });
    this.#begin("text");
    this.#emit(raw);
  }

  #emit(text: string): void {
    if (text === "") return;
    const type = this.#state === "reasoning" ? "reasoning" : "text";
    const apart = this.#apart ? "\n\n" : "";
    this.#apart = false;
    this.#shown.add(type);
    if (type === "reasoning") {
      this.#events.push({ type, text: apart + text });
      return;
    }
    this.#reasoned ??= Math.max(0, this.#taken - this.#visible(text + this.#held));
    const space = this.#skipSpace && text.startsWith(" ");
    this.#skipSpace = false;
    this.#spaceLeftOut ||= space;
    const shown = apart + (space ? text.slice(1) : text);
    if (shown !== "" && !this.#options.required) this.#events.push({ type, text: shown });
  }

  /** Code points of a text, without the control tokens that were spelled out in it. */
  #visible(text: string): number {
    let left = text;
    for (const mark of this.#controls.values()) left = left.replaceAll(mark, "");
    return [...left].length;
  }

  #flush(): ReplyEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}
