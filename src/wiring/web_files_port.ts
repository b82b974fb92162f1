// A Files of the page's own, which the worker that has the engine reads through a port.

import type { Files } from "../weights/files.ts";
import { errorOf, type Failure, failureOf } from "../worker/failure.ts";

/** What the worker gets in its place. */
export interface FilesPort {
  readonly label: string;
  readonly port: MessagePort;
  /** Whether it has Files.whole(). */
  readonly whole: boolean;
}

/** What the worker asks; of a read, so many bytes from an offset. */
type Call =
  | { readonly name: "list"; readonly args: [subfolder: string | undefined] }
  | { readonly name: "size"; readonly args: [file: string] }
  | { readonly name: "read"; readonly args: [file: string, offset: number, length: number] }
  | { readonly name: "whole"; readonly args: [file: string, limit: number] }
  | { readonly name: "close"; readonly args: [] };
type Asked = Call & { readonly id: number };
type Answer = { readonly id: number } & ({ readonly value: unknown } | { readonly failure: Failure });

/** The page's side, and how to close it where the worker cannot. */
export function portOf(files: Files): { readonly sent: FilesPort; end(): Promise<void> } {
  const { port1, port2 } = new MessageChannel();
  let closing: Promise<void> | null = null;
  const end = (): Promise<void> => {
    closing ??= files.close();
    return closing;
  };
  port1.addEventListener("message", ({ data }: MessageEvent<Asked>) => {
    (data.name === "close" ? end() : answered(files, data)).then(
      (value) => {
        const moves = ArrayBuffer.isView(value) ? [value.buffer as ArrayBuffer] : [];
        port1.postMessage({ id: data.id, value } satisfies Answer, moves);
      },
      (error) => port1.postMessage({ id: data.id, failure: failureOf(error) } satisfies Answer),
    );
  });
  port1.start();
  return { sent: { label: files.label, port: port2, whole: files.whole !== undefined }, end };
}

async function answered(files: Files, call: Exclude<Call, { name: "close" }>): Promise<unknown> {
  switch (call.name) {
    case "list":
      return files.list(...call.args);
    case "size":
      return files.size(...call.args);
    case "read": {
      const [file, offset, length] = call.args;
      const bytes = new Uint8Array(length);
      await files.read(file, offset, bytes);
      return bytes;
    }
    case "whole": {
      const bytes = await files.whole!(...call.args);
      return bytes?.slice(); // the caller's own may be used again
    }
  }
}

/** The worker's side. */
export function filesOf({ label, port, whole }: FilesPort): Files {
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  let count = 0;
  port.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
    const found = waiting.get(data.id);
    waiting.delete(data.id);
    if ("failure" in data) found?.reject(errorOf(data.failure));
    else found?.resolve(data.value);
  });
  port.start();
  const ask = (call: Call): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = ++count;
      waiting.set(id, { resolve, reject });
      port.postMessage({ ...call, id });
    });
  return {
    label,
    list: (subfolder) => ask({ name: "list", args: [subfolder] }) as Promise<readonly string[]>,
    size: (...args) => ask({ name: "size", args }) as Promise<number | null>,
    async read(file, offset, into) {
      into.set((await ask({ name: "read", args: [file, offset, into.length] })) as Uint8Array);
    },
    ...(whole && { whole: (...args) => ask({ name: "whole", args }) as Promise<Uint8Array | null> }),
    async close() {
      await ask({ name: "close", args: [] });
      port.close();
    },
  };
}
