// Code with its language's colours, and a button that copies it.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { CopyButton } from "../copy.tsx";

/** Longer code has no colours. */
const LONGEST = 20_000;

type Highlight = (text: string, language: string) => ComponentChildren;
let loaded: Highlight | null = null;

export interface CodeBlockProps {
  readonly text: string;
  /** As the model named it; "" where it named none. */
  readonly language: string;
  /** More of it will come: it has no colours yet. */
  readonly growing?: boolean;
}

export function CodeBlock({ text, language, growing = false }: CodeBlockProps): JSX.Element {
  const [highlight, setHighlight] = useState<{ readonly with: Highlight | null }>({ with: loaded });
  const wanted = !growing && text.length <= LONGEST;
  useEffect(() => {
    if (!wanted || loaded !== null) return;
    // Without it the code stays black and white.
    import("./highlight.ts").then(
      (module) => {
        loaded = module.highlighted;
        setHighlight({ with: loaded });
      },
      () => {},
    );
  }, [wanted]);
  const name = /^[\w+#.-]{1,24}/.exec(language)?.[0] ?? "";
  return (
    <figure class="code">
      <figcaption>
        <span>{name || "text"}</span>
        <CopyButton text={() => text} what="code" />
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard */}
      <pre tabIndex={0}>
        <code>{wanted && highlight.with ? highlight.with(text, name) : text}</code>
      </pre>
    </figure>
  );
}
