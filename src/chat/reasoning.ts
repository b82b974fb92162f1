// Reasoning within an answer: what a model writes between <think> and </think> becomes events of
// its own, however the text is cut.

import type { Tokenizer } from "../tokenizer/types.ts";
import type { ReplyEvent, ReplyParser } from "./reply.ts";
import { beginnings, controlMarks, withoutBeginning } from "./tagged_reply.ts";
import type { ReasoningOptions } from "./types.ts";

/** How a model marks its reasoning, as text. */
export interface ReasoningMarks {
  readonly open: string;
  readonly close: string;
  /** What it writes in front of `open` where the prompt leaves it in the middle of a line. */
  readonly lead?: string;
  /** Whether reasoning may come again, between the messages of an answer. */
  readonly again?: boolean;
  /** Marks around the answer behind the reasoning. */
  readonly answer?: { readonly open: string; readonly close: string };
}

/**
 * Where a prompt leaves the model: within reasoning that it opened; behind reasoning that it opened
 * and closed (thinking is off); or at neither, so that the model may open it.
 */
export type ReasoningStart = "open" | "closed" | "none";

const THINK: ReasoningMarks = { open: "<think>", close: "</think>" };
/** Tokens at the end of a prompt that are searched for marks. */
const LAST = 16;

/** The marks of a chat template, by its text; null if it mentions none. */
export function marksOf(template: string): ReasoningMarks | null {
  if (!template.includes("</think>") && !template.includes("<think>")) return null;
  return {
    ...THINK,
    // GLM-4.5 and 4.6.
    ...(/<\|assistant\|>[\s\S]*\\n<think>/.test(template) && { lead: "\n" }),
    // Granite 3.3, ERNIE 4.5.
    ...(template.includes("<response>") && { answer: { open: "<response>", close: "</response>" } }),
  };
}

/** What the end of a prompt, which the template wrote, says about reasoning. */
export function startOf(
  prompt: readonly number[],
  { open, close }: ReasoningMarks,
  tokenizer: Tokenizer,
): ReasoningStart {
  const end = tokenizer.decode(prompt.slice(-LAST), { skipSpecialTokens: false }).trimEnd();
  return end.endsWith(open) ? "open" : end.endsWith(close) ? "closed" : "none";
}

/** The variables by which templates switch reasoning; those of the caller come first. */
export function reasoningVariables(
  { enabled, effort }: ReasoningOptions,
  given: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  const on = effort === "none" ? false : enabled;
  return {
    // Qwen and GLM say enable_thinking, DeepSeek and Granite say thinking.
    ...(on !== undefined && { enable_thinking: on, thinking: on }),
    ...(effort !== undefined && effort !== "none" && { reasoning_effort: effort }),
    ...given,
  };
}

/**
 * A parser that takes reasoning out of an answer and gives the rest to `inner`. Reasoning is only
 * looked for at the start of an answer; marks later on are text.
 * @param start where the prompt left the model
 */
export function withReasoning(
  inner: ReplyParser,
  marks: ReasoningMarks,
  start: ReasoningStart,
  tokenizer: Tokenizer,
): ReplyParser {
  return new ReasoningParser(inner, marks, start, tokenizer);
}

class ReasoningParser implements ReplyParser {
  readonly #inner: ReplyParser;
  readonly #marks: ReasoningMarks;
  /** Marks that are control tokens, which have no text, by id. */
  readonly #controls: ReadonlyMap<number, string>;
  readonly #closeId: number | null;
  readonly #tokenizer: Tokenizer;
  #state: "head" | "inside" | "behind" | "text";
  #held = "";
  /** Code points taken so far, and those of them that were reasoning. */
  #taken = 0;
  #reasoned = 0;
  /** Tokens of the reasoning, and those of the head, which may become some. */
  #tokens = 0;
  #pending = 0;
  /** Whether the next text is the first of the reasoning, whose leading line ends are dropped. */
  #first = true;
  /** Whether the mark that opens reasoning may still come. */
  #opens = true;
  /** The mark that ends the answer, where one began it; "" where not. */
  #end = "";
  /** Whether white space that comes next is dropped: behind one of the answer's marks. */
  #blank = false;

  constructor(inner: ReplyParser, marks: ReasoningMarks, start: ReasoningStart, tokenizer: Tokenizer) {
    this.#inner = inner;
    this.#marks = marks;
    this.#tokenizer = tokenizer;
    this.#state = start === "open" ? "inside" : "head";
    this.#controls = controlMarks(tokenizer, [marks.open, marks.close]);
    this.#closeId = tokenizer.pieceToId(marks.close);
  }

  get reasoned(): number {
    return this.#reasoned;
  }

  get reasoningTokens(): number {
    return this.#tokens;
  }

  get spaceLeftOut(): boolean {
    return this.#inner.spaceLeftOut;
  }

  push(text: string, ids: readonly number[]): ReplyEvent[] {
    const before = this.#state;
    const events = this.#push(text, ids);
    if (before === "head" || before === "inside") this.#count(ids);
    return events;
  }

  /** Counts the tokens of a push that came in the head or within reasoning. */
  #count(ids: readonly number[]): void {
    this.#pending += ids.length;
    if (this.#state === "head") return;
    const closed = this.#state !== "inside";
    const at = closed && this.#closeId !== null ? ids.indexOf(this.#closeId) : -1;
    if (this.#reasoned > 0 || !this.#first || !closed || at >= 0)
      this.#tokens += this.#pending - (at < 0 ? 0 : ids.length - at - 1);
    this.#pending = 0;
  }

  #push(text: string, ids: readonly number[]): ReplyEvent[] {
    if (this.#state === "text") return this.#answer(text, ids);
    const at = ids.findIndex((id) => this.#controls.has(id));
    if (at < 0) {
      this.#taken += [...text].length;
      return this.#take(text, ids);
    }
    const after = this.#tokenizer.decode(ids.slice(at + 1));
    const split = after !== "" && text.endsWith(after) ? text.length - after.length : text.length;
    this.#taken += [...text.slice(0, split)].length;
    return [
      ...this.#take(text.slice(0, split) + this.#controls.get(ids[at]!)!, ids.slice(0, at)),
      ...this.#push(text.slice(split), ids.slice(at + 1)),
    ];
  }

  end(cut = false): ReplyEvent[] {
    const events: ReplyEvent[] = [];
    if (cut) this.#held = withoutBeginning(this.#held, this.#awaited());
    if (this.#state === "inside") {
      this.#emit(this.#held.trimEnd(), events);
      this.#reasoned = this.#taken;
    } else if (this.#state !== "text") this.#rest([], events);
    else if (this.#held !== "") events.push(...this.#inner.push(this.#held, []));
    this.#state = "text";
    this.#held = "";
    return [...events, ...this.#inner.end(cut)];
  }

  /** The marks that what is held may begin. */
  #awaited(): readonly string[] {
    const { open, close, answer } = this.#marks;
    if (this.#state === "inside") return this.#opens ? [open, close] : [close];
    if (this.#state === "head") return [open];
    return [this.#end, this.#state === "behind" ? (answer?.open ?? "") : ""].filter((mark) => mark !== "");
  }

  /** @param ids the tokens of `text`, for the inner parser: it looks for control tokens in them */
  #take(text: string, ids: readonly number[]): ReplyEvent[] {
    const events: ReplyEvent[] = [];
    this.#held += text;
    const { open, close } = this.#marks;
    // A control token (of calls) ends the head at once.
    const control = ids.some((id) => this.#tokenizer.isSpecial(id));
    if (this.#state === "head") {
      const seen = this.#held.trimStart();
      if (!control && seen.length < open.length && open.startsWith(seen)) return events;
      if (!seen.startsWith(open)) return this.#rest(ids, events);
      this.#state = "inside";
      this.#opens = false;
      this.#held = seen.slice(open.length);
    }
    if (this.#state === "inside") {
      if (this.#opens) {
        // Some models open again what their template has opened.
        const seen = this.#held.trimStart();
        if (!control && seen.length < open.length && open.startsWith(seen)) return events;
        this.#opens = false;
        if (seen.startsWith(open)) this.#held = seen.slice(open.length);
      }
      const at = this.#held.indexOf(close);
      if (at < 0) {
        // What may begin the end marker, and the line ends in front of it, waits.
        const keep = beginnings(this.#held, [close]);
        const sure = this.#held.slice(0, this.#held.length - keep).trimEnd();
        this.#held = this.#held.slice(sure.length);
        this.#emit(sure, events);
        return events;
      }
      this.#emit(this.#held.slice(0, at).trimEnd(), events);
      this.#state = "behind";
      this.#held = this.#held.slice(at + close.length);
    }
    // Line ends between the reasoning and the answer belong to neither.
    this.#held = this.#held.trimStart();
    if (this.#held === "" && !control) return events;
    const { answer } = this.#marks;
    if (answer && !control && this.#held.length < answer.open.length && answer.open.startsWith(this.#held))
      return events;
    if (answer && this.#held.startsWith(answer.open)) {
      this.#held = this.#held.slice(answer.open.length);
      [this.#end, this.#blank] = [answer.close, true];
    }
    return this.#rest(ids, events);
  }

  #rest(ids: readonly number[], events: ReplyEvent[]): ReplyEvent[] {
    const held = this.#held;
    this.#reasoned = this.#taken - [...held].length;
    this.#state = "text";
    this.#held = "";
    events.push(...this.#answer(held, ids));
    return events;
  }

  /** Passes the answer on, without the mark that ends it and the white space around that. */
  #answer(text: string, ids: readonly number[]): ReplyEvent[] {
    const own = this.#blank ? text.trimStart() : text;
    if (own !== "") this.#blank = false;
    if (this.#end === "") return this.#inner.push(own, ids);
    this.#held += own;
    const at = this.#held.indexOf(this.#end);
    const sure = at < 0 ? this.#held.length - beginnings(this.#held, [this.#end]) : at;
    const shown = this.#held.slice(0, sure).trimEnd();
    if (at < 0) {
      this.#held = this.#held.slice(shown.length);
      return this.#inner.push(shown, ids);
    }
    const rest = this.#held.slice(at + this.#end.length);
    [this.#held, this.#end, this.#blank] = ["", "", true];
    return [...this.#inner.push(shown, []), ...this.#answer(rest, ids)];
  }

  #emit(text: string, events: ReplyEvent[]): void {
    const shown = this.#first ? text.trimStart() : text;
    if (shown === "") return;
    this.#first = false;
    events.push({ type: "reasoning", text: shown });
  }
}
