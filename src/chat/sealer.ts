// Keeps control tokens the template's own: text that people or tools wrote, and that spells one, stays text.

import { RequestError } from "../errors.ts";
import { AddedSplitter } from "../tokenizer/added.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import { mapParts, plain, type Str } from "./jinja/text.ts";

/** What is done to every text of a conversation before a template sees it. */
export type Disguise = (text: string) => string;

/**
 * A template's text tells which of its characters people wrote. Where a control token would take in any of them, a seal is put: a private
 * character that the tokenizer leaves out after it has looked for control tokens (EncodeOptions.seal).
 */
export class Sealer {
  readonly #tokenizer: Tokenizer;
  readonly #splitter: AddedSplitter;
  readonly #longest: number;
  /** Finds the characters that control tokens begin with. */
  readonly #begins: RegExp;

  constructor(tokenizer: Tokenizer) {
    const texts: string[] = [];
    for (let id = 0; id < tokenizer.vocabSize; id++)
      if (tokenizer.isSpecial(id)) texts.push(tokenizer.idToPiece(id) ?? "");
    this.#tokenizer = tokenizer;
    this.#splitter = new AddedSplitter(
      texts.map((content) => ({
        id: 0,
        content,
        match: content,
        special: true,
        normalized: false,
        lstrip: false,
        rstrip: false,
      })),
    );
    const firsts = [...new Set(texts.map((text) => text.charCodeAt(0)))].filter((code) => !Number.isNaN(code));
    this.#begins = new RegExp(`[${firsts.map((code) => `\\u${code.toString(16).padStart(4, "0")}`).join("")}]`, "g");
    this.#longest = texts.reduce((most, text) => Math.max(most, text.length), 0);
  }

  /**
   * The ids of a rendered conversation. Templates see what people wrote as it is. One that looks for control tokens in it could leave its own
   * out for theirs; hence, where people spell any, the conversation is rendered once more with those in disguise, and where that gives other
   * control tokens, it counts.
   * @param masks characters of the private use area that occur nowhere in the conversation and the template
   */
  encode(masks: () => readonly string[], render: (disguise: Disguise) => Str): number[] {
    const hidden = new Map<string, string>();
    let spelled = false;
    const ids = this.#ids(
      render((text) => {
        spelled ||= [...this.#splitter.split(text)].some((part) => "token" in part);
        return text;
      }),
    );
    if (!spelled) return ids;
    const unused = masks();
    const disguised = render((text) =>
      [...this.#splitter.split(text)]
        .map((part) => ("token" in part ? disguise(part.token.content, unused, hidden) : part.text))
        .join(""),
    );
    const safe = this.#ids(mapParts(disguised, (part) => undisguise(part, hidden)));
    const controls = (list: readonly number[]): string => list.filter((id) => this.#tokenizer.isSpecial(id)).join();
    return controls(ids) === controls(safe) ? ids : safe;
  }

  #ids(text: Str): number[] {
    const all = plain(text);
    const places = typeof text === "string" ? [] : this.#sealed(all, text.written);
    const options = { addBos: false, specialTokens: true };
    if (places.length === 0) return this.#tokenizer.encode(all, options);
    const [seal] = unusedCharacters(1, [all]) as [string];
    const parts = places.map((place, i) => all.slice(places[i - 1] ?? 0, place));
    return this.#tokenizer.encode([...parts, all.slice(places.at(-1))].join(seal), { ...options, seal });
  }

  /** Where seals go: into every control token that takes in what people wrote, next to it, so that none of the template's own is hit. */
  #sealed(text: string, written: readonly number[]): number[] {
    const places = new Set<number>();
    for (let i = 0; i < written.length; i += 2) {
      const [start, end] = [written[i]!, written[i + 1]!];
      this.#begins.lastIndex = Math.max(0, start - this.#longest + 1);
      for (let found = this.#begins.exec(text); found !== null; found = this.#begins.exec(text)) {
        const at = found.index;
        if (at >= end) break;
        for (const length of this.#splitter.lengthsAt(text, at)) {
          if (at + length > start) places.add(at < start ? start : at + 1);
        }
      }
    }
    return [...places].sort((a, b) => a - b);
  }
}

/** A control token with its first character replaced by one that stands for it. */
function disguise(token: string, unused: readonly string[], hidden: Map<string, string>): string {
  const [first = ""] = token;
  let mask = [...hidden].find(([, character]) => character === first)?.[0];
  if (mask === undefined) {
    mask = unused[hidden.size];
    if (mask === undefined) return token; // more kinds of control tokens than there are characters for: sealed all the same
    hidden.set(mask, first);
  }
  return mask + token.slice(first.length);
}

/** `repr` and `tojson(ensure_ascii=True)` spell the characters out. */
function undisguise(text: string, hidden: ReadonlyMap<string, string>): string {
  let shown = text;
  for (const [mask, character] of hidden) {
    shown = shown.replaceAll(mask, character).replaceAll(`\\u${mask.charCodeAt(0).toString(16)}`, character);
  }
  return shown;
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
