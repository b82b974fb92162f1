// The present conversation as code, in a dialog: a tab for each language.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Request } from "../chat/requests.ts";
import { CodeBlock } from "../markdown/code_block.tsx";
import { samplesOf } from "./samples.ts";

/** Where the page has no server, samples name the address that a server has by default. */
const USUAL = "http://127.0.0.1:8080";

export interface CodeDialogProps {
  readonly request: Request;
  /** The server's base URL; null: there is none. */
  readonly url: string | null;
  readonly close: () => void;
}

export function CodeDialog({ request, url, close }: CodeDialogProps): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const [chosen, choose] = useState("curl");
  useEffect(() => dialog.current?.showModal(), []);
  const samples = samplesOf(request, url ?? USUAL);
  const sample = samples.find(({ id }) => id === chosen) ?? samples[0]!;
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step === 0) return;
    const next = samples[(samples.indexOf(sample) + step + samples.length) % samples.length]!;
    choose(next.id);
    dialog.current?.querySelector<HTMLElement>(`#sample-${next.id}`)?.focus();
  };
  return (
    <dialog ref={dialog} class="dialog wide-dialog" aria-labelledby="code-title" onClose={close}>
      <h2 id="code-title">This conversation as code</h2>
      <div class="tabs" role="tablist" aria-label="Languages" onKeyDown={onKeyDown}>
        {samples.map(({ id, title }) => (
          <button
            key={id}
            type="button"
            role="tab"
            id={`sample-${id}`}
            aria-selected={id === sample.id}
            aria-controls="sample"
            tabIndex={id === sample.id ? 0 : -1}
            onClick={() => choose(id)}
          >
            {title}
          </button>
        ))}
      </div>
      <div id="sample" role="tabpanel" aria-labelledby={`sample-${sample.id}`}>
        <CodeBlock key={sample.id} text={sample.code} language={sample.language} />
      </div>
      <form method="dialog" class="row end">
        <span class="quiet small grow">
          The key is read from the variable HOTSET_API_KEY, where the server wants one.
        </span>
        <button type="submit">Close</button>
      </form>
    </dialog>
  );
}
