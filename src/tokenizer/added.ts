// Finds added tokens in a text: the leftmost, and the longest of those that begin there.

import type { AddedToken } from "./types.ts";
import { isWhite, trimEnd } from "./white_space.ts";

interface Node {
  readonly next: Map<string, Node>;
  token: AddedToken | null;
}

/** A piece of text or an added token; `start` is its place in the text that was split. */
export type Section =
  | { readonly text: string; readonly start: number }
  | { readonly token: AddedToken; readonly start: number };

export class AddedSplitter {
  readonly #root: Node = { next: new Map(), token: null };

  constructor(tokens: readonly AddedToken[]) {
    for (const token of tokens) {
      if (token.match === "") continue;
      let node = this.#root;
      for (const unit of token.match.split("")) {
        let next = node.next.get(unit);
        if (next === undefined) {
          next = { next: new Map(), token: null };
          node.next.set(unit, next);
        }
        node = next;
      }
      node.token = token;
    }
  }

  /** The sections of `text`, in order. None is empty. */
  *split(text: string): Generator<Section> {
    if (this.#root.next.size === 0) {
      if (text !== "") yield { text, start: 0 };
      return;
    }
    let start = 0;
    for (let at = 0; at < text.length; ) {
      const found = this.#longest(text, at);
      if (found === null) {
        at++;
        continue;
      }
      const before = found.token.lstrip ? trimEnd(text.slice(start, at)) : text.slice(start, at);
      if (before !== "") yield { text: before, start };
      yield { token: found.token, start: at };
      at += found.length;
      if (found.token.rstrip) while (at < text.length && isWhite(text[at]!)) at++;
      start = at;
    }
    if (start < text.length) yield { text: text.slice(start), start };
  }

  /** Lengths of all tokens that begin at `from`, the shortest first. */
  *lengthsAt(text: string, from: number): Generator<number> {
    let node = this.#root.next.get(text[from]!);
    for (let at = from + 1; node !== undefined; at++) {
      if (node.token) yield at - from;
      if (at >= text.length) return;
      node = node.next.get(text[at]!);
    }
  }

  #longest(text: string, from: number): { token: AddedToken; length: number } | null {
    let best: { token: AddedToken; length: number } | null = null;
    let node = this.#root.next.get(text[from]!);
    for (let at = from + 1; node !== undefined; at++) {
      if (node.token) best = { token: node.token, length: at - from };
      if (at >= text.length) break;
      node = node.next.get(text[at]!);
    }
    return best;
  }
}
