// Where the person writes: Enter sends, Shift+Enter begins a line.

import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Kind } from "./conversation.ts";

/** The tallest that the field grows by itself, in pixels. */
const TALLEST = 260;
/** Longer texts, in characters, are not measured: it would take as long as laying them out. */
const LONG = 20_000;
/** The code of keys that an input method takes: in Safari, all that its last Enter says. */
const OF_INPUT_METHOD = 229;

export interface ComposerProps {
  readonly kind: Kind;
  readonly busy: boolean;
  /** Why nothing can be sent now; null: it can. */
  readonly blocked: string | null;
  /** A text to begin with, where it changes: a starter. */
  readonly draft: { readonly text: string } | null;
  /** Sends the text, and returns whether it could. */
  readonly send: (text: string) => boolean;
  readonly stop: () => void;
  /** The person wants to change the last message. */
  readonly editLast: () => void;
}

export function Composer({ kind, busy, blocked, draft, send, stop, editLast }: ComposerProps): JSX.Element {
  const [text, setText] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => {
    if (draft === null) return;
    setText(draft.text);
    field.current?.focus();
  }, [draft]);
  useLayoutEffect(() => {
    const area = field.current;
    if (area === null) return;
    area.style.height = text.length > LONG ? `${TALLEST}px` : "auto";
    if (text.length <= LONG) area.style.height = `${Math.min(TALLEST, area.scrollHeight + 2)}px`;
  }, [text, kind]);
  const submit = (): void => {
    const wanted = kind === "chat" ? text.trim() : text;
    if (busy || blocked !== null || wanted === "") return;
    if (send(wanted)) setText("");
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <textarea
        ref={field}
        id="message"
        aria-label={kind === "chat" ? "Message" : "Text to continue"}
        placeholder={kind === "chat" ? "Ask something" : "Write the beginning; the model continues it"}
        rows={kind === "chat" ? 1 : 3}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.shiftKey && !isComposing(event)) {
            event.preventDefault();
            submit();
          } else if (event.key === "ArrowUp" && text === "" && !busy) {
            event.preventDefault();
            editLast();
          }
        }}
      />
      {busy ? (
        <button type="button" class="stop" onClick={stop} title="Esc">
          Stop
        </button>
      ) : (
        <button type="submit" class="primary" disabled={text === "" || blocked !== null} title={blocked ?? "Enter"}>
          {kind === "chat" ? "Send" : "Continue"}
        </button>
      )}
    </form>
  );
}

/** Whether an input method takes the key: Enter then chooses what it offers. */
function isComposing(event: KeyboardEvent): boolean {
  return event.isComposing || event.keyCode === OF_INPUT_METHOD;
}
