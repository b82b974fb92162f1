// Runs a batch: many requests at once, their answers written in the order of the requests.

import { createHash } from "node:crypto";
import type { ChatModel } from "../engine/chat_api.ts";
import { type BatchAnswer, type BatchRequest, createBatch, headOf, readRequest, requestId } from "../server/batch.ts";
import type { BatchOutput } from "./batch_output.ts";
import { linesOf, type RawLine } from "./line_reader.ts";
import { Seen } from "./seen.ts";

export interface RunOptions {
  /** Requests that are answered at once. */
  readonly parallel: number;
  /** Most bytes of a line. */
  readonly lineLimit: number;
  readonly signal: AbortSignal;
  /** Called after each line of the input that is done, with where the next one begins. */
  readonly onProgress: (counts: Counts, position: number) => void;
  /** Called with unexpected errors. */
  readonly log: (error: unknown) => void;
}

export interface Counts {
  /** Requests with an answer, of which some were answered in earlier runs, and some are errors. */
  readonly done: number;
  readonly before: number;
  /** Of this run. */
  readonly errors: number;
}

/** Requests in hand for each that is computed: short answers go on while a long one is written. */
const AHEAD = 16;
/** Most bytes of requests and answers in hand, unless one alone has more. */
const MOST_BYTES = 2 ** 27;

/** A request in hand. */
interface Slot {
  readonly id: string;
  readonly line: RawLine;
  answer: BatchAnswer | null;
}

/**
 * Answers what the output does not have yet. When it rejects, `output` has everything that was
 * answered until then.
 * @throws what the model or the output throws, and the signal's reason
 */
export async function runBatch(
  input: AsyncIterable<Uint8Array>,
  output: BatchOutput,
  model: ChatModel,
  { parallel, lineLimit, signal, onProgress, log }: RunOptions,
): Promise<Counts> {
  const stop = new AbortController();
  const stopped = AbortSignal.any([signal, stop.signal]);
  const batch = createBatch(model, { answersAtOnce: Math.min(4, parallel), log, signal: stopped });
  const seen = new Seen();
  const counts = { done: 0, before: 0, errors: 0 };
  const slots: Slot[] = []; // in the order of the input
  let [running, bytes] = [0, 0];
  let files: Promise<void> = Promise.resolve(); // one operation after the other
  let wake = (): void => {};

  /** Waits until `condition` holds. @throws the reason why the run stops */
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    stopped.throwIfAborted();
  };
  const settled = (): boolean => running === 0;
  const room = (): boolean =>
    stopped.aborted ||
    (running < parallel && slots.length < parallel * AHEAD && (bytes < MOST_BYTES || slots.length === 0));

  /** Writes the answers whose turn it is. */
  const flush = async (): Promise<void> => {
    for (let slot = slots[0]; slot?.answer; slot = slots[0]) {
      const { text, ok } = slot.answer;
      await output.write(slot.id, text);
      slots.shift();
      bytes -= slot.line.bytes.length + text.length;
      counts.done++;
      if (!ok) counts.errors++;
      onProgress(counts, slot.line.end);
    }
  };
  const take = async (slot: Slot, answer: BatchAnswer): Promise<void> => {
    if (slot !== slots[0]) await output.keep(slot.id, answer.text);
    slot.answer = answer;
    await flush();
  };
  const answer = async (slot: Slot, request: BatchRequest): Promise<void> => {
    running++;
    try {
      const known = output.ahead(slot.id);
      const got = known === undefined ? await batch.answer(request) : { text: known, ok: isOk(known) };
      bytes += got.text.length;
      files = files.then(() => take(slot, got));
      await files;
    } catch (error) {
      stop.abort(error);
    } finally {
      running--;
      wake();
    }
  };

  try {
    let reached = false; // a request that the output does not have
    for await (const line of linesOf(input, { limit: lineLimit, digests: true })) {
      stopped.throwIfAborted();
      if (isBlank(line)) continue;
      const request = requestOf(line, model.name, lineLimit, seen);
      reached ||= !(await output.has(headOf(request)));
      if (!reached) {
        counts.done++;
        counts.before++;
        onProgress(counts, line.end);
        continue;
      }
      await until(room);
      const slot: Slot = { id: request.id, line, answer: null };
      slots.push(slot);
      bytes += line.bytes.length;
      void answer(slot, request);
    }
    await until(settled);
  } catch (error) {
    stop.abort(error);
    await until(settled).catch(() => {});
    throw signal.aborted ? signal.reason : stop.signal.reason;
  }
  return counts;
}

/** @param seen the custom_ids of earlier lines */
function requestOf(line: RawLine, model: string, lineLimit: number, seen: Seen): BatchRequest {
  const idOf = (...parts: readonly string[]): string =>
    requestId(
      createHash("sha256")
        .update([line.digest, model, ...parts].join("\n"))
        .digest("hex"),
    );
  const bytes = line.length > line.bytes.length ? null : line.bytes;
  const request = readRequest(idOf(), bytes, lineLimit);
  const { customId } = request;
  if (customId === null || seen.add(customId)) return request;
  const message = `custom_id: ${JSON.stringify(customId)} is that of an earlier line; answers are told apart by it`;
  // The earlier line may be the same in all, and its answer another one.
  return { id: idOf(String(line.number)), customId, call: { code: "duplicate_custom_id", message } };
}

function isBlank({ bytes, length }: RawLine): boolean {
  return length === bytes.length && bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

/** Whether an answer of an earlier run is one of the endpoint's, without an error. */
function isOk(text: string): boolean {
  const { response } = JSON.parse(text) as { readonly response: { readonly status_code: number } | null };
  return response !== null && response.status_code < 400;
}
