// The cases of a profile: steps that decode, and prompts.

import { RequestError } from "../src/errors.ts";

export interface Case {
  /** "decode at 4096", "decode of 16 at 4096", "prompt of 512". */
  readonly name: string;
  readonly kind: "decode" | "prompt";
  /** Tokens before the step, and tokens of it: of as many sequences where it decodes. */
  readonly context: number;
  readonly tokens: number;
}

export function decodeCase(rows: number, context: number): Case {
  const name = rows === 1 ? `decode at ${context}` : `decode of ${rows} at ${context}`;
  return { name, kind: "decode", context, tokens: rows };
}

export function promptCase(length: number): Case {
  return { name: `prompt of ${length}`, kind: "prompt", context: 0, tokens: length };
}

/**
 * Cases as a text names them, in its order: "16@4096" decodes 16 sequences after 4096 positions
 * each, "p512" is a prompt of 512 tokens.
 * @throws RequestError
 */
export function parseCases(option: string, text: string): Case[] {
  return text.split(",").map((word) => {
    const [, rows, context, length] = /^(?:([1-9]\d{0,3})@(\d{1,6})|p([1-9]\d{0,5}))$/.exec(word) ?? [];
    if (rows !== undefined) return decodeCase(Number(rows), Number(context));
    if (length !== undefined) return promptCase(Number(length));
    throw new RequestError(`${option}: expected cases as 16@4096 (rows, positions) or p512, found "${word}"`);
  });
}
