// A button that copies a text, and says that it did.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

const SHOWN_MS = 1500;

export interface CopyProps {
  readonly text: () => string;
  /** What is copied, for screen readers: "code". */
  readonly what: string;
}

export function CopyButton({ text, what }: CopyProps): JSX.Element {
  const [said, say] = useState("");
  useEffect(() => {
    if (said === "") return;
    const timer = setTimeout(() => say(""), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async (): Promise<void> => say((await copied(text())) ? "Copied" : "Not allowed");
  return (
    <button type="button" class="quiet-button" aria-label={said || `Copy ${what}`} onClick={() => void copy()}>
      {said || "Copy"}
    </button>
  );
}

/** Whether the text is on the clipboard now. */
async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedByHand(text); // the clipboard is there on https and localhost only
  }
}

function copiedByHand(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "hidden";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
