// The server's API key: asked for once, kept for this tab only unless the person wants it remembered.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { KeyRing } from "./remote/http.ts";
import { createStore, type Store, useStore } from "./store.ts";

const KEPT = "hotset.key";

interface Question {
  /** Whether the server refused a key, rather than asked for one. */
  readonly again: boolean;
  answer(key: string | null, remember: boolean): void;
}

export interface AskingKeyRing extends KeyRing {
  /** The open question; null: none. */
  readonly question: Store<Question | null>;
  /** Whether there is a key. */
  readonly held: Store<boolean>;
  /** Forgets the key, here and in the browser. */
  forget(): void;
}

export function keyRing(): AskingKeyRing {
  let key = kept("sessionStorage") ?? kept("localStorage");
  let asking: Promise<string | null> | null = null;
  const question = createStore<Question | null>(null);
  const held = createStore(key !== null);
  const keep = (next: string | null, remember: boolean): void => {
    key = next;
    held.set(next !== null);
    for (const name of ["sessionStorage", "localStorage"] as const) {
      const place = storage(name);
      if (next !== null && (name === "sessionStorage" || remember)) place?.setItem(KEPT, next);
      else place?.removeItem(KEPT);
    }
  };
  return {
    question,
    held,
    key: () => key,
    ask(refused) {
      if (key !== refused) return Promise.resolve(key);
      asking ??= new Promise<string | null>((resolve) => {
        question.set({
          again: refused !== null,
          answer(given, remember) {
            question.set(null);
            asking = null;
            if (given !== null) keep(given, remember);
            resolve(given);
          },
        });
      });
      return asking;
    },
    forget: () => keep(null, false),
  };
}

function storage(name: "sessionStorage" | "localStorage"): Storage | null {
  try {
    return globalThis[name];
  } catch {
    return null; // the browser keeps nothing
  }
}

function kept(name: "sessionStorage" | "localStorage"): string | null {
  return storage(name)?.getItem(KEPT) ?? null;
}

/** Forgets the key; the server's next refusal asks for one again. */
export function ForgetKey({ ring }: { readonly ring: AskingKeyRing }): JSX.Element | null {
  if (!useStore(ring.held)) return null;
  return (
    <button type="button" onClick={ring.forget}>
      Forget the API key
    </button>
  );
}

/** The question, as a dialog over the page. */
export function KeyQuestion({ ring }: { readonly ring: AskingKeyRing }): JSX.Element | null {
  const question = useStore(ring.question);
  const dialog = useRef<HTMLDialogElement>(null);
  const [key, setKey] = useState("");
  const [remember, setRemember] = useState(false);
  useEffect(() => {
    if (question !== null) dialog.current?.showModal();
  }, [question]);
  if (question === null) return null;
  const done = (given: string | null): void => {
    setKey("");
    question.answer(given, remember);
  };
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="key-title" onCancel={() => done(null)}>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          if (key.trim() !== "") done(key.trim());
        }}
      >
        <h2 id="key-title">This server wants an API key</h2>
        {question.again && <p role="alert">The server refused the last key.</p>}
        <label class="field">
          API key
          <input
            type="password"
            autocomplete="off"
            spellcheck={false}
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </label>
        <label class="check">
          <input type="checkbox" checked={remember} onChange={(event) => setRemember(event.currentTarget.checked)} />
          Remember it in this browser; else it is forgotten with this tab
        </label>
        <div class="row end">
          <button type="button" onClick={() => done(null)}>
            Cancel
          </button>
          <button type="submit" class="primary">
            Use this key
          </button>
        </div>
      </form>
    </dialog>
  );
}
