// The blocks of a text in Markdown, read once each while the text grows.

import { lexer, type Token } from "marked";

/** Longer texts are shown as they are: a page must not stall on them. */
const LONGEST = 60_000;
/** Signs of emphasis and links in one paragraph, for which a parser takes quadratic time. */
const MOST_SIGNS = 1500;
/** What is nested so deep takes long too, or more stack than there is. */
const NESTED = /^(?: {40,}(?:[-*+]|\d+[.)]) |(?: {0,3}> ?){24})/m;

export class BlockReader {
  /** The text up to the last block, which nothing that follows can change, and its blocks. */
  #settled = "";
  #blocks: readonly Token[] = [];

  /** The blocks; null for a text that is to be shown as it is. */
  read(text: string): readonly Token[] | null {
    if (!text.startsWith(this.#settled)) {
      this.#settled = "";
      this.#blocks = [];
    }
    const rest = text.slice(this.#settled.length);
    if (text.length > LONGEST || isHard(rest)) return null;
    let read: readonly Token[];
    try {
      read = lexer(rest, { gfm: true });
    } catch {
      return null; // nested too deep
    }
    const last = read.findLastIndex(({ type }) => type !== "space");
    const all = [...this.#blocks, ...read.filter(isShown)];
    // The lexer changes line ends and tabs: what it read is then not what is there.
    const settled = read.slice(0, Math.max(0, last));
    const length = settled.reduce((sum, { raw }) => sum + raw.length, 0);
    const source = rest.slice(0, length);
    if (settled.map(({ raw }) => raw).join("") === source) {
      this.#settled += source;
      this.#blocks = [...this.#blocks, ...settled.filter(isShown)];
    }
    return all;
  }
}

function isShown({ type }: Token): boolean {
  return type !== "space" && type !== "def";
}

function isHard(text: string): boolean {
  if (NESTED.test(text)) return true;
  return text.split(/\n\s*\n/).some((paragraph) => (paragraph.match(/[*_~[\]`<]/g)?.length ?? 0) > MOST_SIGNS);
}
