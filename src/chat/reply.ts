// Incremental parser of a model's answer: text, tool calls and malformed calls.

import type { Tokenizer } from "../tokenizer/types.ts";
import { CallList } from "./call_list.ts";
import { newCallId, TRAINED_ID } from "./messages.ts";
import type { JsonSchema } from "./types.ts";

/**
 * The parser's events. src/engine/events.ts shows which of them reach the consumer of an answer.
 */
export type ReplyEvent =
  | { readonly type: "text"; readonly text: string }
  | ReasoningEvent
  | ToolCallEvent
  | ToolArgumentsEvent
  /** The model began a tool call that cannot be parsed; its characters follow as text events. */
  | { readonly type: "malformed"; readonly problem: string }
  /** The answer ended inside a call, which is dropped. */
  | { readonly type: "cut" };

/** The next piece of what the model thinks before it answers, without its marks. */
export interface ReasoningEvent {
  /** Tells this event from others. */
  readonly type: "reasoning";
  /** To be added to what came before. */
  readonly text: string;
}

/**
 * A complete call; its arguments follow immediately. `index` counts the calls of the answer from 0.
 */
export interface ToolCallEvent {
  /** Tells this event from others. */
  readonly type: "tool_call";
  /** The call's place in the answer, from 0. */
  readonly index: number;
  /** Names the call, for the message with its result. */
  readonly id: string;
  /** The tool's name. */
  readonly name: string;
}

/** The arguments of the call `index`: a JSON object, which need not follow the tool's schema. */
export interface ToolArgumentsEvent {
  /** Tells this event from others. */
  readonly type: "tool_arguments";
  /** The place of the call in the answer, from 0. */
  readonly index: number;
  /** To be added to what came before of this call. */
  readonly text: string;
}

export interface ReplyParser {
  /** Whether the answer began with a space, which is not part of its text. */
  readonly spaceLeftOut: boolean;
  /** Code points in front of the answer: its reasoning. Known from the first text on. */
  readonly reasoned?: number;
  /** Tokens of the reasoning so far, its end mark included. */
  readonly reasoningTokens?: number;
  /**
   * @param text the text decoded since the last push, without control tokens
   * @param ids the tokens sampled since then
   */
  push(text: string, ids: readonly number[]): ReplyEvent[];
  /**
   * Ends the answer.
   * @param cut whether the length limit ended it: an unfinished call is then dropped, not shown as
   * text
   */
  end(cut?: boolean): ReplyEvent[];
}

/** How a call style marks its list of calls. */
export interface CallSyntax {
  /** Id of the control token before a list; null if lists are part of the text. */
  readonly callsId: number | null;
  /**
   * Finds a list without a control token at the start of the answer; null if there are
   * no such lists.
   */
  readonly head: {
    /**
     * Index of the list's opening bracket; "open" if more text is needed to tell; "none" if the
     * answer is text.
     */
    listStart(text: string): number | "open" | "none";
    /** Whether an unfinished answer almost certainly becomes calls. */
    isCall(text: string): boolean;
  } | null;
  /**
   * Whether `rest`, the end of the answer after a list, belongs to the calls; otherwise it is text.
   */
  endsList(rest: string): boolean;
}

export interface ReplyOptions {
  readonly tokenizer: Tokenizer;
  /** Names of the tools that may be called. Without any, everything is text. */
  readonly tools: ReadonlySet<string>;
  /** Schemas of their arguments, by name: for styles that write values as bare texts. */
  readonly parameters?: ReadonlyMap<string, JsonSchema>;
  /** Whether the answer must be calls, so that none of it is text. */
  readonly required: boolean;
  /** Whether the answer continues a text in the prompt, so that its leading space is part of it. */
  readonly continued: boolean;
}

export function createReplyParser(syntax: CallSyntax, options: ReplyOptions): ReplyParser {
  return new Parser(syntax, options);
}

class Parser implements ReplyParser {
  readonly #syntax: CallSyntax;
  readonly #options: ReplyOptions;
  #events: ReplyEvent[] = [];
  /**
   * "head": `held` is text that may begin a list; "list": within calls; "tail": `held` is what
   * followed a list, kept until the end.
   */
  #state: "text" | "head" | "list" | "tail";
  #held = "";
  #list: CallList;
  #skipSpace: boolean;
  #spaceLeftOut = false;
  #calls = 0;
  readonly #ids = new Set<string>();

  constructor(syntax: CallSyntax, options: ReplyOptions) {
    this.#syntax = syntax;
    this.#options = options;
    this.#skipSpace = !options.continued;
    this.#state = syntax.head !== null && options.tools.size > 0 ? "head" : "text";
    this.#list = this.#newList();
  }

  get spaceLeftOut(): boolean {
    return this.#spaceLeftOut;
  }

  push(text: string, ids: readonly number[]): ReplyEvent[] {
    const { tools, tokenizer } = this.#options;
    const { callsId } = this.#syntax;
    const at = callsId === null || tools.size === 0 ? -1 : ids.indexOf(callsId);
    if (at < 0) this.#take(text);
    else {
      // The control token has no text itself; the text of the tokens after it follows.
      const after = tokenizer.decode(ids.slice(at + 1));
      const split = after !== "" && text.endsWith(after) ? text.length - after.length : text.length;
      this.#take(text.slice(0, split).replace(/ $/, split < text.length ? "" : "$&"));
      this.#beginList();
      this.#take(text.slice(split));
    }
    return this.#flush();
  }

  end(cut = false): ReplyEvent[] {
    const within = this.#state === "list" || (this.#state === "head" && this.#syntax.head?.isCall(this.#held));
    if (within && (cut || this.#options.required)) this.#events.push({ type: "cut" });
    else if (this.#state === "head") this.#emitText(this.#held);
    else if (this.#state === "list") this.#fail("the answer ends within its list of calls");
    else this.#endTail();
    this.#state = "text";
    this.#held = "";
    return this.#flush();
  }

  #take(text: string): void {
    if (this.#state === "head") {
      this.#held += text;
      const start = this.#syntax.head?.listStart(this.#held) ?? "none";
      if (start === "open") return;
      const held = this.#held;
      this.#held = "";
      if (start === "none") {
        this.#state = "text";
        this.#emitText(held);
        return;
      }
      this.#state = "list";
      this.#list.raw = held.slice(0, start);
      this.#takeCalls(held.slice(start));
    } else if (this.#state === "list") this.#takeCalls(text);
    else if (this.#state === "tail") this.#held += text;
    else this.#emitText(text);
  }

  /** Another list may follow a complete one; an incomplete one is malformed. */
  #beginList(): void {
    if (this.#state === "list") this.#fail("another list of calls begins within it");
    else this.#endTail();
    this.#held = "";
    this.#list = this.#newList();
    this.#state = "list";
    this.#skipSpace = false;
  }

  #takeCalls(text: string): void {
    for (let at = 0; at < text.length; at++) {
      if (this.#list.waiting && !/[\s[]/.test(text[at]!)) {
        // No list yet: this is text that the stop filter had held back, or the model wrote no list
        // at all.
        this.#emitText(this.#list.raw + text[at]!);
        this.#list.raw = "";
        continue;
      }
      const scan = this.#list.push(text[at]!);
      if (scan === "more") continue;
      if (scan === "done") {
        this.#state = "tail";
        this.#take(text.slice(at + 1));
      } else {
        this.#fail(scan.malformed);
        this.#emitText(text.slice(at + 1));
      }
      return;
    }
  }

  #newList(): CallList {
    return new CallList({
      knows: (name) => this.#options.tools.has(name),
      call: (name, given, text) => {
        // The model's own id, if it is in the trained form and new.
        const id = given !== null && TRAINED_ID.test(given) && !this.#ids.has(given) ? given : newCallId();
        this.#ids.add(id);
        const index = this.#calls++;
        this.#events.push({ type: "tool_call", index, id, name }, { type: "tool_arguments", index, text });
      },
    });
  }

  /** Handles a malformed list: everything after its last complete call becomes text. */
  #fail(problem: string): void {
    this.#state = "text";
    this.#events.push({ type: "malformed", problem });
    this.#emitText(this.#list.raw);
  }

  /** Handles the text after a list: what does not belong to the list is text of the answer. */
  #endTail(): void {
    if (!this.#syntax.endsList(this.#held)) this.#emitText(this.#held);
  }

  #emitText(text: string): void {
    const space = this.#skipSpace && text.startsWith(" ");
    const shown = space ? text.slice(1) : text;
    this.#spaceLeftOut ||= space;
    if (text !== "") this.#skipSpace = false;
    if (shown === "" || this.#options.required) return;
    const last = this.#events.at(-1);
    if (last?.type === "text") this.#events[this.#events.length - 1] = { type: "text", text: last.text + shown };
    else this.#events.push({ type: "text", text: shown });
  }

  #flush(): ReplyEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}
