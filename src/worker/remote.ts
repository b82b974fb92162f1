// Opens a model in a worker, and follows the worker until it ends.

import { onAbort } from "../abort.ts";
import type { OpenOptions } from "../engine/api.ts";
import { abortReason, DeviceError, HotsetError } from "../errors.ts";
import { errorOf } from "./failure.ts";
import { Link, post } from "./link.ts";
import { workerModel } from "./model.ts";
import type { EngineWorker, FromEngine, Opening, Store, Watched } from "./protocol.ts";
import type { WorkerModel } from "./types.ts";

const WATCHED: readonly Watched[] = ["onProgress", "onTuning", "onRoutes"];

export interface RemoteOptions<Place> extends Omit<OpenOptions, "tokenizer"> {
  readonly tokenizer?: Place;
}

/** What the page has that its worker lacks. */
export interface Surroundings {
  /** What relative URLs are below. */
  readonly base: string;
  readonly store: Store;
  /** What of the place and the tokenizer moves to the worker. */
  readonly transfer?: readonly Transferable[];
}

/**
 * Opens a model in a worker that has just been started.
 * @throws as open(); DeviceError where the worker does not start, HotsetError where it ends
 */
export function openWith<Place>(
  worker: EngineWorker<Place>,
  place: Place,
  given: RemoteOptions<Place>,
  { base, store, transfer }: Surroundings,
): Promise<WorkerModel> {
  const { signal, tokenizer, onProgress, onTuning, onRoutes, ...options } = given;
  const functions = { onProgress, onTuning, onRoutes };
  const opening: Opening<Place> = {
    place,
    ...(tokenizer !== undefined && { tokenizer }),
    options,
    watched: WATCHED.filter((name) => functions[name] !== undefined),
    base,
  };
  const link = new Link(worker);
  return new Promise((resolve, reject) => {
    let opened = false;
    const fail = (error: Error): void => {
      link.end(error);
      reject(error);
    };
    const abort = (): void => fail(abortReason(signal!));
    const stay = onAbort(signal, abort);
    const take = (message: FromEngine): void => {
      switch (message.type) {
        case "progress":
          try {
            functions[message.of]?.(message.done, message.total);
          } catch (error) {
            stay();
            fail(error as Error);
          }
          break;
        case "routes":
          try {
            onRoutes?.(message.step);
          } catch (error) {
            link.interrupt(error);
          }
          break;
        case "read":
          void store.read(message.name).then((text) => {
            if (!link.over) worker.post({ type: "kept", id: message.id, text });
          });
          break;
        case "write":
          void store.write(message.name, message.text);
          break;
        case "opened":
          opened = true;
          stay();
          resolve(workerModel(link, message.about));
          break;
        case "notOpened":
          stay();
          fail(errorOf(message.failure));
          break;
        default:
          link.take(message);
      }
    };
    worker.onMessage(take);
    worker.onEnd((reason) => {
      stay();
      if (opened) fail(new HotsetError(`the worker that computes has ended: ${reason}; open the model again`));
      else fail(new DeviceError(`the model cannot be opened in a worker: ${reason}`));
    });
    if (signal?.aborted) {
      abort();
      return;
    }
    try {
      post(worker as EngineWorker<unknown>, { type: "open", opening }, "openInWorker()", transfer);
    } catch (error) {
      fail(error as Error);
    }
  });
}
