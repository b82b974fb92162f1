// A page's handle on the worker that writes its cache.

import { onAbort } from "../abort.ts";
import { abortReason, HubError } from "../errors.ts";
import { WRITER } from "./web_writer_text.ts";
import type { FromWriter, Place, ToWriter, WriterDownload } from "./writer_protocol.ts";

/** The script's address, created once. */
let address: string | null = null;

type Job = ToWriter extends infer Message ? (Message extends ToWriter ? Omit<Message, "id"> : never) : never;

interface Waiting {
  readonly onBytes: (bytes: number) => void;
  resolve(digest: string | null): void;
  reject(error: Error): void;
}

export class Writer {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #count = 0;
  #ended: HubError | null = null;

  constructor() {
    address ??= URL.createObjectURL(new Blob([WRITER], { type: "text/javascript" }));
    this.#worker = new Worker(address);
    this.#worker.addEventListener("message", ({ data }: MessageEvent<FromWriter>) => this.#take(data));
    this.#worker.addEventListener("error", (event) => {
      event.preventDefault();
      const why = event.message || "let the page's Content-Security-Policy allow workers from blob:";
      this.#ended = new HubError(`the worker that writes models to this browser's storage failed: ${why}`, 0);
      for (const { reject } of this.#waiting.values()) reject(this.#ended);
      this.#waiting.clear();
    });
  }

  /** @throws HubError as download() and the file system; the reason of the signal */
  async download(job: WriterDownload, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<void> {
    await this.#ask({ kind: "download", job }, signal, onBytes);
  }

  /** Takes the room of a file. @throws HubError if there is not enough */
  async reserve(place: Place, size: number): Promise<void> {
    await this.#ask({ kind: "reserve", place, size }, new AbortController().signal);
  }

  /** The digest of a file that is there. */
  async digest(place: Place, size: number, of: "sha256" | "git", signal: AbortSignal): Promise<string> {
    return (await this.#ask({ kind: "digest", place, size, of }, signal))!;
  }

  /** Replaces a note. */
  async note(place: Place, text: string): Promise<void> {
    await this.#ask({ kind: "note", place, text }, new AbortController().signal);
  }

  /** Removes a file. */
  async remove(place: Place): Promise<void> {
    await this.#ask({ kind: "remove", place }, new AbortController().signal);
  }

  /** Call it when no job runs. */
  close(): void {
    this.#worker.terminate();
  }

  async #ask(job: Job, signal: AbortSignal, onBytes = (_: number): void => {}): Promise<string | null> {
    signal.throwIfAborted();
    if (this.#ended) throw this.#ended;
    const id = this.#count++;
    // The worker answers when it has closed its files, so that the next pull finds them free.
    const stay = onAbort(signal, () => this.#worker.postMessage({ id, kind: "abort" } satisfies ToWriter));
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting.set(id, { onBytes, resolve, reject });
        this.#worker.postMessage({ ...job, id } satisfies ToWriter);
      });
    } catch (error) {
      throw signal.aborted ? abortReason(signal) : error;
    } finally {
      stay();
    }
  }

  #take(message: FromWriter): void {
    const waiting = message && this.#waiting.get(message.id);
    if (!message || !waiting) return;
    if (message.kind === "bytes") {
      waiting.onBytes(message.count);
      return;
    }
    this.#waiting.delete(message.id);
    if (message.kind === "done") {
      waiting.resolve(message.digest);
      return;
    }
    const { message: text, status, retryAfter } = message.failure;
    waiting.reject(new HubError(text, status, {}, retryAfter));
  }
}
