// What the keyboard does, and a list of it.

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";

export type Deed = "stop" | "begin" | "regenerate" | "message" | "list" | "settings" | "shortcuts";

interface Shortcut {
  readonly deed: Deed | null;
  readonly keys: string;
  readonly does: string;
  readonly is?: (event: KeyboardEvent) => boolean;
}

/** By the place of the key: with Alt, the letters of some layouts are others. */
const alt =
  (code: string) =>
  (event: KeyboardEvent): boolean =>
    event.altKey && !event.ctrlKey && !event.metaKey && event.code === code;

const SHORTCUTS: readonly Shortcut[] = [
  { deed: null, keys: "Enter", does: "send the message" },
  { deed: null, keys: "Shift+Enter", does: "a new line" },
  { deed: "stop", keys: "Esc", does: "stop the answer", is: ({ key }) => key === "Escape" },
  { deed: null, keys: "\u2191 in an empty message", does: "edit your last message" },
  { deed: "begin", keys: "Alt+N", does: "begin another conversation", is: alt("KeyN") },
  { deed: "regenerate", keys: "Alt+R", does: "answer once more", is: alt("KeyR") },
  {
    deed: "message",
    keys: "Alt+M or /",
    does: "to the message",
    is: (event) => alt("KeyM")(event) || isBare(event, "/"),
  },
  { deed: "list", keys: "Alt+L", does: "show the conversations (narrow page)", is: alt("KeyL") },
  { deed: "settings", keys: "Alt+P", does: "show the parameters (narrow page)", is: alt("KeyP") },
  { deed: null, keys: "\u2190 \u2192 on a token", does: "the token before, the one behind; Enter: its alternatives" },
  { deed: null, keys: "\u2190 \u2192 on a tab", does: "the other panels" },
  { deed: "shortcuts", keys: "?", does: "this list", is: (event) => isBare(event, "?") },
];

/** A sign that is not being written into a field. */
function isBare(event: KeyboardEvent, key: string): boolean {
  const { target } = event;
  const writes = target instanceof HTMLElement && target.matches("input, textarea, select");
  return event.key === key && !event.ctrlKey && !event.metaKey && !event.altKey && !writes;
}

/** @param on whether the panel is in view */
export function useShortcuts(on: boolean, deeds: Readonly<Record<Deed, () => void>>): void {
  const now = useRef(deeds);
  now.current = deeds;
  useEffect(() => {
    if (!on) return;
    const onKeyDown = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
      const found = SHORTCUTS.find(({ is }) => is?.(event));
      if (!found?.deed) return;
      if (found.deed !== "stop") event.preventDefault();
      now.current[found.deed]();
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, [on]);
}

export function ShortcutList({ close }: { readonly close: () => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="shortcuts-title" onClose={close}>
      <h2 id="shortcuts-title">Keyboard</h2>
      <dl class="shortcuts">
        {SHORTCUTS.map(({ keys, does }) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog" class="row end">
        <button type="submit">Close</button>
      </form>
    </dialog>
  );
}
