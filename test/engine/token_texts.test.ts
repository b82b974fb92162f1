// Which text a token has and where it begins, byte by byte and cut by a stop string.

import { describe, expect, it } from "vitest";
import { createStopFilter } from "../../src/engine/stop.ts";
import { pieceOf } from "../../src/engine/text.ts";
import { TokenTexts } from "../../src/engine/token_texts.ts";
import { tales } from "../chat/support.ts";

/**
 * The tokens that are left of `ids`, as the session reads them: by text and place, and
 * the answer's text.
 */
function read(ids: readonly number[], stops: readonly string[] = [], prompt: readonly number[] = [5]) {
  const decoder = tales.stream({ prompt });
  const filter = createStopFilter(stops);
  const tokens = new TokenTexts();
  const found: { text: string; bytes: readonly number[]; offset: number }[] = [];
  let shown = "";
  for (const id of ids) {
    const decoded = decoder.push(id);
    tokens.push({ id, ...pieceOf(tales, id), logprob: 0, top: [] }, decoded);
    const { text, stop } = filter.push(decoded);
    shown += text;
    found.push(...tokens.release(text.length));
    if (stop !== null) return { shown, found };
  }
  shown += filter.push(decoder.end()).text + filter.flush();
  found.push(...tokens.rest());
  return { shown, found };
}
const encode = (text: string): number[] => tales.encode(text, { addBos: false });
const joined = (found: readonly { readonly bytes: readonly number[] }[]): string =>
  new TextDecoder().decode(Uint8Array.from(found.flatMap(({ bytes }) => bytes)));

describe("tokens of a text", () => {
  it.each(["Once upon a time", "a\u{1F60A}\u00e9漢 b", "\u{1F60A}\u{1F60A}", "naïve  two\n\nlines"])("%j", (text) => {
    const { shown, found } = read(encode(text), [], []);
    expect(shown).toBe(text);
    expect(joined(found)).toBe(text);
    const characters = [...text];
    for (const { text: own, bytes, offset } of found) {
      const rest = characters.slice(offset).join("");
      if (own.includes("\uFFFD")) expect(new TextEncoder().encode(rest).subarray(0, 4)).toContain(bytes[0]);
      else expect(rest.startsWith(own), `${own} at ${offset}`).toBe(true);
    }
    // The bytes of a character are all in front of it.
    const starts = found.map(({ offset }) => offset);
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
  });

  it("bytes that never become a character count as what is shown of them", () => {
    const byte = (value: number) => tales.pieceToId(`<0x${value.toString(16).toUpperCase()}>`)!;
    const { shown, found } = read([byte(0xf0), byte(0x9f), ...encode("A")]);
    expect(shown).toBe("\uFFFD\uFFFD A");
    expect(found.map(({ offset }) => offset)).toEqual([0, 0, 2]);
  });

  it("control tokens have no text and stand where they came", () => {
    const { found, shown } = read([...encode("Once"), 2]);
    expect(found.at(-1)).toMatchObject({ text: "</s>", bytes: [], offset: shown.length });
  });

  it("none is left of what a stop string cuts away, wherever it lies", () => {
    const text = "Once upon a time there was a \u{1F60A} fox.";
    const ids = encode(text);
    for (let at = 0; at < text.length - 3; at++) {
      for (const length of [1, 3]) {
        const stop = text.slice(at, at + length);
        if (/^[\uDC00-\uDFFF]|[\uD800-\uDBFF]$/.test(stop)) continue;
        const { shown, found } = read(ids, [stop], []);
        expect(shown).toBe(text.slice(0, text.indexOf(stop)));
        // Whole tokens, of which each has a part in what is shown.
        expect(joined(found).startsWith(shown)).toBe(true);
        expect(joined(found.slice(0, -1)).length).toBeLessThan(Math.max(1, shown.length));
        expect(found.length === 0).toBe(shown === "");
      }
    }
  });
});
