// Keeps control tokens the template's own: text that people or tools wrote, and that spells one, stays text.

import { RequestError } from "../errors.ts";
import { AddedSplitter } from "../tokenizer/added.ts";
import type { Tokenizer } from "../tokenizer/types.ts";

/** What is done to every text of a conversation before a template sees it. */
export type Seal = (text: string) => string;

/**
 * Texts go through a template and come out anywhere in the prompt, so that afterwards nobody can tell a control token that the template
 * wrote from one that a user wrote. Hence a seal: a private character that occurs nowhere in template and conversation, put inside what must stay
 * text ("<" seal "/s>"), and left out by the tokenizer after it has looked for control tokens (EncodeOptions.seal).
 */
export class Guard {
  private readonly tokenizer: Tokenizer;
  private readonly texts: readonly string[];
  private readonly splitter: AddedSplitter;
  private readonly firsts: ReadonlySet<string>;
  private readonly ends: ReadonlySet<string>;
  private readonly longest: number;

  constructor(tokenizer: Tokenizer) {
    const texts: string[] = [];
    for (let id = 0; id < tokenizer.vocabSize; id++)
      if (tokenizer.isSpecial(id)) texts.push(tokenizer.idToPiece(id) ?? "");
    this.tokenizer = tokenizer;
    this.texts = texts.filter((text) => text !== "");
    this.splitter = new AddedSplitter(
      this.texts.map((content) => ({
        id: 0,
        content,
        match: content,
        special: true,
        normalized: false,
        lstrip: false,
        rstrip: false,
      })),
    );
    this.firsts = new Set(this.texts.map((text) => text[0]!));
    this.ends = new Set(this.texts.flatMap((text) => Array.from(text, (_, at) => text.slice(at))));
    this.longest = this.texts.reduce((most, text) => Math.max(most, text.length), 0);
  }

  /** Seals that little of a text is changed by: one inside every control token that the text spells. */
  light(seal: string): Seal {
    return (text) => {
      let sealed = "";
      for (const part of this.splitter.split(text)) {
        if ("token" in part) sealed += part.token.content[0]! + seal + part.token.content.slice(1);
        else sealed += part.text;
      }
      return sealed;
    };
  }

  /**
   * Seals that leave nothing to begin a control token with, nor to end one that the template begins, whatever a template cuts out and joins:
   * after every character that begins one, and in front of a text that could go on with one.
   */
  full(seal: string): Seal {
    return (text) => {
      let sealed = this.mayContinue(text) ? seal : "";
      for (const unit of text.split("")) sealed += this.firsts.has(unit) ? unit + seal : unit;
      return sealed;
    };
  }

  private mayContinue(text: string): boolean {
    for (let length = 1; length <= Math.min(text.length, this.longest); length++) {
      if (this.ends.has(text.slice(0, length))) return true;
    }
    return text !== "" && text.length < this.longest && this.texts.some((control) => control.includes(text));
  }

  /**
   * The ids of a rendered conversation. Templates see texts with light seals, which are rare, so that they cut and compare what people wrote. A
   * template that takes texts apart could still make a control token of the pieces: where full seals give other control tokens, those count.
   */
  encode(seal: string, render: (seal: Seal) => string): number[] {
    const ids = this.ids(render(this.light(seal)), seal);
    const safe = this.ids(render(this.full(seal)), seal);
    const controls = (list: readonly number[]): string => list.filter((id) => this.tokenizer.isSpecial(id)).join();
    return controls(ids) === controls(safe) ? ids : safe;
  }

  private ids(text: string, seal: string): number[] {
    // `tojson(ensure_ascii=True)` spells the seal out.
    const plain = text.replaceAll(`\\u${seal.charCodeAt(0).toString(16)}`, seal);
    return this.tokenizer.encode(plain, { addBos: false, specialTokens: true, seal });
  }
}

/** Characters of Unicode's private use area that occur in none of `texts`, neither as they are nor as JSON escapes. @throws RequestError */
export function unusedCharacters(count: number, texts: readonly string[]): string[] {
  const found: string[] = [];
  for (let code = 0xe000; code <= 0xf8ff && found.length < count; code++) {
    const [character, spelled] = [String.fromCharCode(code), new RegExp(`\\\\u${code.toString(16)}`, "i")];
    if (!texts.some((text) => text.includes(character) || spelled.test(text))) found.push(character);
  }
  if (found.length === count) return found;
  throw new RequestError(
    "messages: expected texts that leave a character of Unicode's private use area unused, found all of them",
  );
}
