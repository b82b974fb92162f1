// Follows the experts of a model while they are watched; starts again where that breaks off.

import { useEffect, useRef, useState } from "preact/hooks";
import { askedNow } from "../asked.ts";
import { EngineError, type PageEngine } from "../engine.ts";
import { Recorder } from "./recorder.ts";

/** Wait before another try; after a failure that another try will not mend, there is none. */
const AGAIN_MS = 2000;

export interface Watched {
  /** Null until the model is there. */
  readonly recorder: Recorder | null;
  /** Of the model. */
  readonly state: string;
  readonly failure: string | null;
}

/**
 * @param watches whether the stream is to be open
 * @param onFrame called after each frame
 */
export function useExperts(engine: PageEngine, model: string | null, watches: boolean, onFrame: () => void): Watched {
  const [watched, setWatched] = useState<Watched>({ recorder: null, state: "unloaded", failure: null });
  /** Kept while nothing is watched. */
  const kept = useRef<{ readonly model: string; readonly recorder: Recorder } | null>(null);
  useEffect(() => {
    if (!watches || model === null || !engine.experts) return;
    const leave = new AbortController();
    void follow(engine, model, leave.signal);
    return () => leave.abort();
  }, [engine, model, watches]);

  async function follow(from: PageEngine, id: string, signal: AbortSignal): Promise<void> {
    if (kept.current?.model !== id) {
      kept.current = null;
      setWatched({ recorder: null, state: "unloaded", failure: null });
    }
    while (!signal.aborted) {
      let failure = "the server closed the connection";
      try {
        for await (const event of from.experts!(id, signal)) {
          if (event.type === "state") setWatched((now) => ({ ...now, state: event.state, failure: null }));
          if (event.type === "head") {
            const { head } = event;
            const known = kept.current;
            const same = known !== null && JSON.stringify(known.recorder.head) === JSON.stringify(head);
            const recorder = same ? known.recorder : new Recorder(head);
            kept.current = { model: id, recorder };
            setWatched({ recorder, state: "ready", failure: null });
          }
          if (event.type !== "frame" || kept.current === null) continue;
          kept.current.recorder.add(event.frame, askedNow(id));
          onFrame();
        }
      } catch (error) {
        if (signal.aborted) return;
        failure = error instanceof Error ? error.message : String(error);
        const lasting = error instanceof EngineError && error.status >= 400 && error.status !== 503;
        setWatched((now) => ({ ...now, failure }));
        if (lasting) return;
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, AGAIN_MS);
        signal.addEventListener("abort", () => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }
  return watched;
}
