// Incremental parser of answers whose calls stand between two marks, anywhere in the text:
// <tool_call>...</tool_call>.

import type { Tokenizer } from "../tokenizer/types.ts";
import { newCallId } from "./messages.ts";
import type { ReplyEvent, ReplyOptions, ReplyParser } from "./reply.ts";

export interface TaggedCall {
  readonly name: string;
  /** A JSON object. */
  readonly arguments: string;
}

/**
 * What the text between two marks means: calls; "open" if the end mark was part of a value, so that
 * the text goes on; or why it is no call.
 */
export type TaggedBody = readonly TaggedCall[] | "open" | { readonly malformed: string };

export interface TaggedSyntax {
  readonly opens: readonly {
    readonly mark: string;
    readonly close: string;
    /** Whether both marks belong to the body: the model left out those around it. */
    readonly within?: true;
    /** What ends each of several calls in the body. */
    readonly each?: string;
  }[];
  /** Marks inside of bodies. */
  readonly inner?: readonly string[];
  /** Marks that are dropped after a call. */
  readonly stray: readonly string[];
  /**
   * What reads a body: given the text between the marks, or the rest of an answer that ended before
   * the second. After "open" it is given a longer text that begins with the last one.
   */
  reader(): (body: string) => TaggedBody;
}

export function createTaggedParser(syntax: TaggedSyntax, options: ReplyOptions): ReplyParser {
  return new TaggedParser(syntax, options);
}

class TaggedParser implements ReplyParser {
  readonly #syntax: TaggedSyntax;
  readonly #options: ReplyOptions;
  readonly #controls: ReadonlyMap<number, string>;
  #events: ReplyEvent[] = [];
  /** Text that is not decided yet; within a call its whole body so far. */
  #held = "";
  #open: TaggedSyntax["opens"][number] | null = null;
  #read: (body: string) => TaggedBody = () => "open";
  /** Where in `held` the end mark is looked for. */
  #from = 0;
  #calls = 0;
  #skipSpace: boolean;
  #spaceLeftOut = false;

  constructor(syntax: TaggedSyntax, options: ReplyOptions) {
    this.#syntax = syntax;
    this.#options = options;
    this.#skipSpace = !options.continued;
    const marks = [...syntax.opens.flatMap(({ mark, close }) => [mark, close]), ...(syntax.inner ?? [])];
    this.#controls = controlMarks(options.tokenizer, marks);
  }

  get spaceLeftOut(): boolean {
    return this.#spaceLeftOut;
  }

  push(text: string, ids: readonly number[]): ReplyEvent[] {
    if (this.#options.tools.size === 0) this.#emitText(text);
    else {
      this.#held += spelled(text, ids, this.#controls, this.#options.tokenizer);
      while (this.#open === null ? this.#findOpen() : this.#findClose());
    }
    return this.#flush();
  }

  end(cut = false): ReplyEvent[] {
    const open = this.#open;
    const held = open === null ? this.#between(this.#held) : this.#held;
    this.#held = "";
    this.#open = null;
    if (open !== null && cut) this.#cutOff(open, held);
    else if (open !== null) {
      const read = this.#read(held);
      if (Array.isArray(read)) this.#report(read);
      else if (this.#options.required) this.#events.push({ type: "cut" });
      else this.#fail("the answer ends within a call", open.within ? held : open.mark + held);
    } else {
      const shown = cut ? withoutBeginning(held, this.#marks()) : held;
      if (shown.trim() !== "" || this.#calls === 0) this.#emitText(shown);
    }
    return this.#flush();
  }

  /** The limit came within a body: calls that are whole by then count. */
  #cutOff({ each }: TaggedSyntax["opens"][number], held: string): void {
    const last = each === undefined ? -1 : held.lastIndexOf(each);
    const read = last < 0 ? [] : this.#syntax.reader()(held.slice(0, last + each!.length));
    if (Array.isArray(read)) this.#report(read);
    this.#events.push({ type: "cut" });
  }

  /** Gives out text that no call follows; true once a call has begun. */
  #findOpen(): boolean {
    let at = -1;
    for (const one of this.#syntax.opens) {
      const found = this.#held.indexOf(one.mark);
      if (found < 0 || (at >= 0 && found >= at)) continue;
      at = found;
      this.#open = one;
      this.#read = this.#syntax.reader();
    }
    if (this.#open !== null) {
      this.#emitText(this.#between(this.#held.slice(0, at)).trimEnd());
      this.#held = this.#held.slice(this.#open.within ? at : at + this.#open.mark.length);
      this.#from = 0;
      return true;
    }
    const safe = this.#held.length - beginnings(this.#held, this.#marks());
    // White space before a call is not part of the text.
    const sure = this.#between(this.#held.slice(0, safe)).trimEnd();
    if (sure === "") return false;
    const rest = this.#between(this.#held).slice(sure.length);
    this.#held = rest;
    this.#emitText(sure);
    return false;
  }

  /** Those that may stand between calls. */
  #marks(): readonly string[] {
    return [...this.#syntax.opens.map(({ mark }) => mark), ...(this.#calls > 0 ? this.#syntax.stray : [])];
  }

  /** The text behind a call without the marks that belong to none. */
  #between(text: string): string {
    if (this.#calls === 0) return text;
    for (const mark of this.#syntax.stray) {
      if (text.trimStart().startsWith(mark)) return text.trimStart().slice(mark.length);
    }
    return text;
  }

  #findClose(): boolean {
    const { close, mark, within = false } = this.#open!;
    const at = this.#held.indexOf(close, this.#from);
    if (at < 0) {
      this.#from = Math.max(0, this.#held.length - close.length + 1);
      return false;
    }
    const end = at + close.length;
    const read = this.#read(this.#held.slice(0, within ? end : at));
    if (read === "open") {
      this.#from = end;
      return true;
    }
    const body = this.#held.slice(0, end);
    this.#held = this.#held.slice(end);
    this.#open = null;
    if ("malformed" in read) this.#fail(read.malformed, within ? body : mark + body);
    else this.#report(read);
    return true;
  }

  #report(calls: readonly TaggedCall[]): void {
    const unknown = calls.find(({ name }) => !this.#options.tools.has(name));
    if (unknown !== undefined) {
      this.#events.push({ type: "malformed", problem: `there is no tool ${JSON.stringify(unknown.name)}` });
      this.#emitText(JSON.stringify(calls));
      return;
    }
    for (const { name, arguments: text } of calls) {
      const index = this.#calls++;
      this.#events.push({ type: "tool_call", index, id: newCallId(), name }, { type: "tool_arguments", index, text });
    }
    this.#skipSpace = false;
  }

  #fail(problem: string, raw: string): void {
    this.#events.push({ type: "malformed", problem });
    this.#emitText(raw);
  }

  #emitText(text: string): void {
    const space = this.#skipSpace && text.startsWith(" ");
    const shown = space ? text.slice(1) : text;
    this.#spaceLeftOut ||= space;
    if (text !== "") this.#skipSpace = false;
    if (shown !== "" && !this.#options.required) this.#events.push({ type: "text", text: shown });
  }

  #flush(): ReplyEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}

/** How many characters at the end of a text may begin one of the marks. */
export function beginnings(text: string, marks: readonly string[]): number {
  const longest = Math.max(...marks.map((mark) => mark.length));
  for (let keep = Math.min(text.length, longest - 1); keep > 0; keep--)
    if (marks.some((mark) => mark.startsWith(text.slice(text.length - keep)))) return keep;
  return 0;
}

/**
 * A text that the length limit cut off, without what it has of a mark at its end. One character of
 * a mark alone may be anything.
 */
export function withoutBeginning(text: string, marks: readonly string[]): string {
  const begun = beginnings(text, marks);
  return begun > 1 ? text.slice(0, -begun).trimEnd() : text;
}

/** The marks that are control tokens, which have no text, by id. */
export function controlMarks(tokenizer: Tokenizer, marks: readonly string[]): ReadonlyMap<number, string> {
  return new Map(
    marks.flatMap((mark) => {
      const id = tokenizer.pieceToId(mark);
      return id !== null && tokenizer.tokenBytes(id).length === 0 ? [[id, mark] as const] : [];
    }),
  );
}

/** The text of an answer with the control tokens of `controls` spelled out in it. */
export function spelled(
  text: string,
  ids: readonly number[],
  controls: ReadonlyMap<number, string>,
  tokenizer: Tokenizer,
): string {
  const at = ids.findIndex((id) => controls.has(id));
  if (at < 0) return text;
  const rest = ids.slice(at + 1);
  const after = tokenizer.decode(rest);
  const split = after !== "" && text.endsWith(after) ? text.length - after.length : text.length;
  return text.slice(0, split) + controls.get(ids[at]!)! + spelled(text.slice(split), rest, controls, tokenizer);
}
