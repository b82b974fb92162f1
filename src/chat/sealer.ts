// Keeps untrusted text from becoming control tokens: only the template may produce them.

import { RequestError } from "../errors.ts";
import { AddedSplitter } from "../tokenizer/added.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import { mapParts, plain, type Str } from "./jinja/text.ts";

/** A change to every text of a conversation before the template sees it. */
export type Disguise = (text: string) => string;

/**
 * Rendered text marks its untrusted characters: those from the conversation. Where a control token
 * would contain any of them, a seal is inserted: a private-use character that the tokenizer removes
 * after it has searched for control tokens (EncodeOptions.seal).
 */
export class Sealer {
  readonly #tokenizer: Tokenizer;
  readonly #splitter: AddedSplitter;
  readonly #longest: number;
  /** Matches the first characters of control tokens. */
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
   * Renders a conversation and encodes it. The template sees untrusted text unchanged. A template
   * that searches it for control tokens might omit its own; so if untrusted text spells any, the
   * conversation is rendered a second time with those disguised, and if the control tokens then
   * differ, the second result is used.
   * @param masks private-use characters that occur neither in the conversation nor in the template
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
    const places = typeof text === "string" ? [] : this.#sealed(all, text.untrusted);
    const options = { addBos: false, specialTokens: true };
    if (places.length === 0) return this.#tokenizer.encode(all, options);
    const [seal] = unusedCharacters(1, [all]) as [string];
    const parts = places.map((place, i) => all.slice(places[i - 1] ?? 0, place));
    return this.#tokenizer.encode([...parts, all.slice(places.at(-1))].join(seal), { ...options, seal });
  }

  /**
   * Where to insert seals: inside every control token that contains untrusted text, next to that
   * text, so that the template's own control tokens stay whole.
   */
  #sealed(text: string, untrusted: readonly number[]): number[] {
    const places = new Set<number>();
    for (let i = 0; i < untrusted.length; i += 2) {
      const [start, end] = [untrusted[i]!, untrusted[i + 1]!];
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

/** A control token with its first character replaced by a mask character. */
function disguise(token: string, unused: readonly string[], hidden: Map<string, string>): string {
  const [first = ""] = token;
  let mask = [...hidden].find(([, character]) => character === first)?.[0];
  if (mask === undefined) {
    mask = unused[hidden.size];
    if (mask === undefined) return token; // out of mask characters; sealing still protects it
    hidden.set(mask, first);
  }
  return mask + token.slice(first.length);
}

/**
 * Undoes disguise(), also where `repr` or `tojson(ensure_ascii=True)` escaped the mask characters.
 */
function undisguise(text: string, hidden: ReadonlyMap<string, string>): string {
  let shown = text;
  for (const [mask, character] of hidden) {
    shown = shown.replaceAll(mask, character).replaceAll(`\\u${mask.charCodeAt(0).toString(16)}`, character);
  }
  return shown;
}

/**
 * Private-use characters that occur in none of `texts`, neither literally nor as JSON escapes.
 * @throws RequestError if there are too few
 */
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
