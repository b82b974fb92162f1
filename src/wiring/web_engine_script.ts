// Starts the worker that has the engine, from a text that comes with the library or from an
// address, and learns of its end.

import { bytesOfBase64 } from "../base64.ts";
import type { EngineWorker, FromEngine, FromScript, ToScript } from "../worker/protocol.ts";
import type { SentPlace } from "./web_open.ts";

/** The address of the text, made once. */
let address: Promise<string> | null = null;

async function textAddress(): Promise<string> {
  const { ENGINE } = await import("./web_engine_text.ts");
  const plain = new Blob([bytesOfBase64(ENGINE)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = await new Response(plain, { headers: { "content-type": "text/javascript" } }).blob();
  return URL.createObjectURL(script);
}

const UNLOADED =
  "its script could not be loaded: let the page's Content-Security-Policy allow workers from blob:, or give the option script the address of the package's dist/worker/engine.js on the page's own server, with the header cross-origin-embedder-policy: require-corp where the page is cross-origin isolated";

/** @param script the address of the script; absent: the text */
export async function startEngine(script?: string | URL): Promise<EngineWorker<SentPlace>> {
  if (script === undefined) address ??= textAddress();
  const worker = new Worker(script ?? (await address!), { name: "hotset engine" });
  const locks: LockManager | undefined = navigator.locks;
  const lock = `hotset engine ${Math.random()}`;
  const ending = new AbortController();
  let runs = false;
  let tell = (_: string): void => {};
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    tell(event.message || (runs ? "it failed without a reason" : UNLOADED));
  });
  worker.addEventListener("messageerror", () => tell("a message could not be read"));
  // A worker that the browser ends, as where memory runs out, says nothing: its lock becomes free.
  if (locks) worker.postMessage({ type: "hold", lock } satisfies ToScript);
  const watch = async (): Promise<void> => {
    try {
      await locks.request(lock, { signal: ending.signal }, () => tell("the browser has ended it"));
    } catch {
      // Stopped by the page.
    }
  };
  return {
    post: (message, transfer = []) => worker.postMessage(message, [...transfer]),
    onMessage: (take) =>
      worker.addEventListener("message", ({ data }: MessageEvent<FromEngine | FromScript>) => {
        runs = true;
        if (data.type === "held") void watch();
        else take(data);
      }),
    onEnd(ended) {
      tell = ended;
    },
    stop() {
      tell = () => {};
      ending.abort();
      worker.terminate();
    },
  };
}
