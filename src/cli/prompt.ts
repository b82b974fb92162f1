// Reads the prompt from stdin, where no option gives it.

import { addAbortSignal } from "node:stream";
import { RequestError } from "../errors.ts";

/** More than any context holds. Endless input is rejected here, before memory runs out. */
const MAX_PROMPT_BYTES = 64 * 2 ** 20;

/**
 * The text piped to stdin, without the line end that `echo` and editors add.
 * @param instead another way to pass a text, for messages: "pass one with -p"
 * @throws RequestError if it is empty, not UTF-8 or over 64 MiB
 */
export async function promptFromStdin(signal: AbortSignal, instead: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of addAbortSignal(signal, process.stdin) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_PROMPT_BYTES) throw new RequestError("prompt: expected at most 64 MiB on stdin, found more");
    chunks.push(chunk);
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(Buffer.concat(chunks));
  } catch {
    throw new RequestError(`prompt: stdin is not UTF-8 text; convert it, or ${instead}`);
  }
  text = text.replace(/\r?\n$/, "");
  if (text === "") throw new RequestError(`prompt: stdin was empty; pipe a text in, or ${instead}`);
  return text;
}
