// The calls of an answer, and a form for their results.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { ToolCall } from "../engine.ts";
import { CodeBlock } from "../markdown/code_block.tsx";

export function ToolCalls({ calls }: { readonly calls: readonly ToolCall[] }): JSX.Element {
  return (
    <ul class="calls" aria-label="Tool calls">
      {calls.map((call, i) => (
        <li key={call.id || i}>
          <p>
            Calls <code>{call.name}</code>
          </p>
          <CodeBlock text={indented(call.arguments)} language="json" />
        </li>
      ))}
    </ul>
  );
}

export interface ResultsProps {
  readonly calls: readonly ToolCall[];
  readonly give: (results: ReadonlyMap<string, string>) => void;
}

/** Asks for the results of calls: the person is the tool. */
export function Results({ calls, give }: ResultsProps): JSX.Element {
  const [texts, setTexts] = useState<ReadonlyMap<string, string>>(new Map());
  return (
    <form
      class="results"
      onSubmit={(event) => {
        event.preventDefault();
        give(texts);
      }}
    >
      <p>The model waits for {calls.length === 1 ? "the result of its call" : "the results of its calls"}.</p>
      {calls.map(({ id, name }) => (
        <label key={id} class="field">
          <span>
            Result of <code>{name}</code>
          </span>
          <textarea
            rows={2}
            value={texts.get(id) ?? ""}
            placeholder={'{"temperature": 21}'}
            onInput={(event) => setTexts(new Map(texts).set(id, event.currentTarget.value))}
          />
        </label>
      ))}
      <button type="submit" class="primary">
        Give {calls.length === 1 ? "the result" : "the results"}
      </button>
    </form>
  );
}

function indented(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}
