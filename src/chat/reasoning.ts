// Reasoning within an answer: what a model writes between <think> and </think> becomes events of
// its own, however the text is cut.

import type { Tokenizer } from "../tokenizer/types.ts";
import type { ReplyEvent, ReplyParser } from "./reply.ts";
import type { ReasoningOptions } from "./types.ts";

/** How a model marks its reasoning, as text. */
export interface ReasoningMarks {
  readonly open: string;
  readonly close: string;
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
  return template.includes("</think>") || template.includes("<think>") ? THINK : null;
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
  readonly #tokenizer: Tokenizer;
  #state: "head" | "inside" | "behind" | "text";
  #held = "";
  /** Code points taken so far, and those of them that were reasoning. */
  #taken = 0;
  #reasoned = 0;
  /** Whether the next text is the first of the reasoning, whose leading line ends are dropped. */
  #first = true;

  constructor(inner: ReplyParser, marks: ReasoningMarks, start: ReasoningStart, tokenizer: Tokenizer) {
    this.#inner = inner;
    this.#marks = marks;
    this.#tokenizer = tokenizer;
    this.#state = start === "open" ? "inside" : "head";
    this.#controls = new Map(
      [marks.open, marks.close].flatMap((mark) => {
        const id = tokenizer.pieceToId(mark);
        return id !== null && tokenizer.tokenBytes(id).length === 0 ? [[id, mark] as const] : [];
      }),
    );
  }

  get reasoned(): number {
    return this.#reasoned;
  }

  get spaceLeftOut(): boolean {
    return this.#inner.spaceLeftOut;
  }

  push(text: string, ids: readonly number[]): ReplyEvent[] {
    if (this.#state === "text") return this.#inner.push(text, ids);
    const { at, mark } = this.#control(ids);
    if (at < 0) {
      this.#taken += [...text].length;
      return this.#take(text, ids);
    }
    const after = this.#tokenizer.decode(ids.slice(at + 1));
    const split = after !== "" && text.endsWith(after) ? text.length - after.length : text.length;
    this.#taken += [...text.slice(0, split)].length;
    return [
      ...this.#take(text.slice(0, split) + mark, ids.slice(0, at)),
      ...this.push(text.slice(split), ids.slice(at + 1)),
    ];
  }

  #control(ids: readonly number[]): { readonly at: number; readonly mark: string } {
    const at = ids.findIndex((id) => this.#controls.has(id));
    return { at, mark: at < 0 ? "" : this.#controls.get(ids[at]!)! };
  }

  end(cut = false): ReplyEvent[] {
    const events: ReplyEvent[] = [];
    if (this.#state === "inside") this.#emit(this.#held.trimEnd(), events);
    else if (this.#state === "head") return [...this.#rest([], events), ...this.#inner.end(cut)];
    if (this.#state !== "text") this.#reasoned = this.#taken;
    this.#state = "text";
    this.#held = "";
    return [...events, ...this.#inner.end(cut)];
  }

  /** @param ids the tokens of `text`, for the inner parser: it looks for control tokens in them */
  #take(text: string, ids: readonly number[]): ReplyEvent[] {
    const events: ReplyEvent[] = [];
    this.#held += text;
    const { open, close } = this.#marks;
    if (this.#state === "head") {
      const seen = this.#held.trimStart();
      // A control token (of calls) ends the head at once.
      const control = ids.some((id) => this.#tokenizer.isSpecial(id));
      if (!control && seen.length < open.length && open.startsWith(seen)) return events;
      if (!seen.startsWith(open)) return this.#rest(ids, events);
      this.#state = "inside";
      this.#held = seen.slice(open.length);
    }
    if (this.#state === "inside") {
      const at = this.#held.indexOf(close);
      if (at < 0) {
        // What may begin the end marker, and the line ends in front of it, waits.
        let keep = Math.min(this.#held.length, close.length - 1);
        while (keep > 0 && !close.startsWith(this.#held.slice(this.#held.length - keep))) keep--;
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
    const control = ids.some((id) => this.#tokenizer.isSpecial(id));
    if (this.#held === "" && !control) return events;
    return this.#rest(ids, events);
  }

  #rest(ids: readonly number[], events: ReplyEvent[]): ReplyEvent[] {
    const held = this.#held;
    this.#reasoned = this.#taken - [...held].length;
    this.#state = "text";
    this.#held = "";
    events.push(...this.#inner.push(held, ids));
    return events;
  }

  #emit(text: string, events: ReplyEvent[]): void {
    const shown = this.#first ? text.trimStart() : text;
    if (shown === "") return;
    this.#first = false;
    events.push({ type: "reasoning", text: shown });
  }
}
