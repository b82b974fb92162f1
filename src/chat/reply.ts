// Reads a model's answer while it is written: text, tool calls, and what was meant as a call and is none.

import type { Tokenizer } from "../tokenizer/types.ts";
import { CallList } from "./call_list.ts";
import { newCallId, TRAINED_ID } from "./messages.ts";
import type { ToolCall, ToolFormat } from "./types.ts";

export type ReplyEvent =
  | { readonly type: "text"; readonly text: string }
  /** A call, when it is whole. Its arguments are a JSON object, whatever the tool's schema says. */
  | { readonly type: "call"; readonly index: number; readonly call: ToolCall }
  /** What the model began as a call cannot be read as one; text events bring it as it stands. */
  | { readonly type: "malformed"; readonly problem: string }
  /** The answer ended within a call: it is left out. */
  | { readonly type: "cut" };

export interface ReplyParser {
  /** The answer began with a space, which is no part of its text. */
  readonly spaceLeftOut: boolean;
  /** @param text what has been decoded since the last call, without control tokens; @param ids the tokens chosen since then */
  push(text: string, ids: readonly number[]): ReplyEvent[];
  /** The answer is over. @param cut it was cut off by its length: a call that is not whole is no text either */
  end(cut?: boolean): ReplyEvent[];
}

export interface ReplyOptions {
  readonly format: ToolFormat;
  /** Id of [TOOL_CALLS]; null with the JSON protocol. */
  readonly callsId: number | null;
  readonly tokenizer: Tokenizer;
  /** Names of the tools that may be called; none: everything is text. */
  readonly tools: ReadonlySet<string>;
  /** The answer has to be calls: nothing of it is text. */
  readonly required: boolean;
  /** The answer goes on from a text in the prompt: its first space is part of it. */
  readonly continued: boolean;
}

/** An answer that may yet become the JSON protocol's object, and cannot be much else: behind a Markdown fence any object may follow. */
const CALL_BEGUN = /^\s*\{|"t/;
/** Characters held back while an answer may still turn out to be the JSON protocol's object. */
const MAX_HEAD = 256;

export function createReplyParser(options: ReplyOptions): ReplyParser {
  return new Parser(options);
}

class Parser implements ReplyParser {
  private readonly options: ReplyOptions;
  private events: ReplyEvent[] = [];
  /** "head": text that may begin the protocol's object is held in `held`; "list": within calls; "tail": behind them, held until the end. */
  private state: "text" | "head" | "list" | "tail";
  private held = "";
  private list: CallList;
  private skipSpace: boolean;
  spaceLeftOut = false;
  private calls = 0;
  private readonly ids = new Set<string>();

  constructor(options: ReplyOptions) {
    this.options = options;
    this.skipSpace = !options.continued;
    this.state = options.format === "json" && options.tools.size > 0 ? "head" : "text";
    this.list = this.newList();
  }

  push(text: string, ids: readonly number[]): ReplyEvent[] {
    const { callsId, tools, tokenizer } = this.options;
    const at = callsId === null || tools.size === 0 ? -1 : ids.indexOf(callsId);
    if (at < 0) this.take(text);
    else {
      // The control token has no text of its own: what the tokens behind it say follows it.
      const after = tokenizer.decode(ids.slice(at + 1));
      const split = after !== "" && text.endsWith(after) ? text.length - after.length : text.length;
      this.take(text.slice(0, split).replace(/ $/, split < text.length ? "" : "$&"));
      this.beginList();
      this.take(text.slice(split));
    }
    return this.flush();
  }

  end(cut = false): ReplyEvent[] {
    const within = this.state === "list" || (this.state === "head" && CALL_BEGUN.test(this.held));
    if (within && (cut || this.options.required)) this.events.push({ type: "cut" });
    else if (this.state === "head") this.emitText(this.held);
    else if (this.state === "list") this.fail("the answer ends within its list of calls");
    else this.endTail();
    this.state = "text";
    this.held = "";
    return this.flush();
  }

  private take(text: string): void {
    if (this.state === "head") {
      this.held += text;
      const start = protocolStart(this.held);
      if (start === "open") return;
      const held = this.held;
      this.held = "";
      if (start === "none") {
        this.state = "text";
        this.emitText(held);
        return;
      }
      this.state = "list";
      this.list.raw = held.slice(0, start);
      this.takeCalls(held.slice(start));
    } else if (this.state === "list") this.takeCalls(text);
    else if (this.state === "tail") this.held += text;
    else this.emitText(text);
  }

  /** Another list may follow one that is complete; one that is not is malformed. */
  private beginList(): void {
    if (this.state === "list") this.fail("another list of calls begins within it");
    else this.endTail();
    this.held = "";
    this.list = this.newList();
    this.state = "list";
    this.skipSpace = false;
  }

  private takeCalls(text: string): void {
    for (let at = 0; at < text.length; at++) {
      if (this.list.waiting && !/[\s[]/.test(text[at]!)) {
        // No list yet: text that a filter had held back, or none at all.
        this.emitText(this.list.raw + text[at]!);
        this.list.raw = "";
        continue;
      }
      const scan = this.list.push(text[at]!);
      if (scan === "more") continue;
      if (scan === "done") {
        this.state = "tail";
        this.take(text.slice(at + 1));
      } else {
        this.fail(scan.malformed);
        this.emitText(text.slice(at + 1));
      }
      return;
    }
  }

  private newList(): CallList {
    return new CallList({
      knows: (name) => this.options.tools.has(name),
      call: (name, given, text) => {
        // The model's own id where it is in the trained form and new.
        const id = given !== null && TRAINED_ID.test(given) && !this.ids.has(given) ? given : newCallId();
        this.ids.add(id);
        this.events.push({ type: "call", index: this.calls++, call: { id, name, arguments: text } });
      },
    });
  }

  /** The list that is open is none: what it has beside whole calls becomes text. */
  private fail(problem: string): void {
    this.state = "text";
    this.events.push({ type: "malformed", problem });
    this.emitText(this.list.raw);
  }

  /** Behind a list only the end of the protocol's object is expected; anything else is text. */
  private endTail(): void {
    const rest = this.held.trim();
    if (this.options.format === "json" ? !/^\}?\s*`{0,3}$/.test(rest) : rest !== "") this.emitText(this.held);
  }

  private emitText(text: string): void {
    const space = this.skipSpace && text.startsWith(" ");
    const shown = space ? text.slice(1) : text;
    this.spaceLeftOut ||= space;
    if (text !== "") this.skipSpace = false;
    if (shown === "" || this.options.required) return;
    const last = this.events.at(-1);
    if (last?.type === "text") this.events[this.events.length - 1] = { type: "text", text: last.text + shown };
    else this.events.push({ type: "text", text: shown });
  }

  private flush(): ReplyEvent[] {
    const { events } = this;
    this.events = [];
    return events;
  }
}

/**
 * Where the list begins in an answer of the JSON protocol, {"tool_calls": [ (perhaps in a Markdown fence); "open" while that is not decided, "none"
 * where it is no such answer.
 */
function protocolStart(text: string): number | "open" | "none" {
  let at = 0;
  for (const part of ["```?", "json?", "{", '"tool_calls"', ":", "["]) {
    while (at < text.length && /\s/.test(text[at]!)) at++;
    const optional = part.endsWith("?");
    const wanted = optional ? part.slice(0, -1) : part;
    const found = text.slice(at, at + wanted.length);
    if (found === wanted) {
      if (part === "[") return at;
      at += wanted.length;
    } else if (at + found.length === text.length && wanted.startsWith(found)) return at > MAX_HEAD ? "none" : "open";
    else if (!optional) return "none";
  }
  return "none";
}
