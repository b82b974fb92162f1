// One message: its text, reasoning, calls and tokens, and what can be done with it.

import type { JSX } from "preact";
import { memo } from "preact/compat";
import { useState } from "preact/hooks";
import { CopyButton } from "../copy.tsx";
import { Markdown } from "../markdown/markdown.tsx";
import { Plain } from "../markdown/plain.tsx";
import type { Controller } from "./controller.ts";
import type { Ending, Kind, Node } from "./conversation.ts";
import { TokenView } from "./token_view.tsx";
import { ToolCalls } from "./tool_calls.tsx";

const NAMES = { user: "You", assistant: "Model", tool: "Tool result", system: "System" } as const;

export interface MessageProps {
  readonly node: Node;
  readonly siblings: readonly Node[];
  readonly kind: Kind;
  /** Whether it is being written. */
  readonly growing: boolean;
  /** Whether an answer, this one or another, is being written. */
  readonly busy: boolean;
  /** Whether it is the last one. */
  readonly last: boolean;
  readonly controller: Controller;
}

export const MessageView = memo(
  Message,
  (before, after) =>
    (["node", "kind", "growing", "busy", "last"] as const).every((name) => before[name] === after[name]) &&
    before.siblings.length === after.siblings.length,
);

function Message({ node, siblings, kind, growing, busy, last, controller }: MessageProps): JSX.Element {
  const [editing, edit] = useState(false);
  const [byToken, showTokens] = useState(true);
  const { message } = node;
  const tokens = node.tokens !== undefined && byToken;
  const name = NAMES[message.role];
  return (
    <article class={`message ${message.role}`} aria-label={name} data-node={node.id}>
      <header>
        <h3>{name}</h3>
        <Branches node={node} siblings={siblings} show={controller.show} />
      </header>
      {message.role === "assistant" && message.reasoning !== undefined && (
        <details class="reasoning">
          <summary>{growing && message.content === "" ? "Reasoning\u2026" : "Reasoning"}</summary>
          <Markdown text={message.reasoning} growing={growing} />
        </details>
      )}
      {editing ? (
        <Editor
          text={message.content}
          answers={message.role === "user"}
          done={(text) => {
            edit(false);
            if (text !== null && text !== message.content) controller.edit(node, text);
          }}
        />
      ) : tokens ? (
        <TokenView node={node} {...(!busy && { choose: (at, choice) => controller.choose(node, at, choice) })} />
      ) : message.role === "assistant" && kind === "chat" ? (
        <Markdown text={message.content} growing={growing} />
      ) : (
        <div class="plain">
          <Plain text={message.content} />
        </div>
      )}
      {growing && <span class="caret" aria-hidden="true" />}
      {message.role === "assistant" && message.calls && <ToolCalls calls={message.calls} />}
      {node.end?.error !== undefined && (
        <p class="failure" role="alert">
          {node.end.error}
        </p>
      )}
      {!growing && !editing && (
        <footer>
          <CopyButton text={() => message.content} what="message" />
          {message.role !== "tool" && (
            <button type="button" class="quiet-button" disabled={busy} onClick={() => edit(true)}>
              Edit
            </button>
          )}
          {message.role === "assistant" && (
            <button type="button" class="quiet-button" disabled={busy} onClick={() => controller.regenerate(node)}>
              Regenerate
            </button>
          )}
          {message.role === "assistant" && last && message.calls === undefined && (
            <button type="button" class="quiet-button" disabled={busy} onClick={() => controller.goOn(node)}>
              Continue
            </button>
          )}
          {node.tokens !== undefined && (
            <button type="button" class="quiet-button" aria-pressed={byToken} onClick={() => showTokens(!byToken)}>
              Tokens
            </button>
          )}
          {node.end && <Facts end={node.end} />}
          {message.role === "assistant" && !node.end && (
            <small class="quiet facts-line">not finished: its page was closed, or another tab writes it</small>
          )}
        </footer>
      )}
    </article>
  );
}

interface BranchesProps {
  readonly node: Node;
  readonly siblings: readonly Node[];
  readonly show: (node: Node) => void;
}

/** Arrows between the messages that stand in one place. */
function Branches({ node, siblings, show }: BranchesProps): JSX.Element | null {
  const at = siblings.findIndex(({ id }) => id === node.id);
  if (siblings.length < 2 || at < 0) return null;
  const arrow = (step: number, sign: string, label: string): JSX.Element => {
    const to = siblings[at + step];
    return (
      <button type="button" class="icon" aria-label={label} disabled={to === undefined} onClick={() => to && show(to)}>
        {sign}
      </button>
    );
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would be a form's
    <span class="branches" role="group" aria-label="Branches">
      {arrow(-1, "\u2039", "Earlier branch")}
      <span>
        {at + 1} / {siblings.length}
      </span>
      {arrow(1, "\u203A", "Later branch")}
    </span>
  );
}

interface EditorProps {
  readonly text: string;
  /** Whether the model answers the new text. */
  readonly answers: boolean;
  /** Called with the new text; null: the person gave up. */
  readonly done: (text: string | null) => void;
}

function Editor({ text, answers, done }: EditorProps): JSX.Element {
  const [now, setNow] = useState(text);
  return (
    <form
      class="editor"
      onSubmit={(event) => {
        event.preventDefault();
        done(now);
      }}
    >
      <textarea
        aria-label="Edit the message"
        ref={(area) => {
          if (area && document.activeElement !== area && area.dataset.begun === undefined) {
            area.dataset.begun = "";
            area.focus();
          }
        }}
        rows={Math.min(16, Math.max(3, now.split("\n").length))}
        value={now}
        onInput={(event) => setNow(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") {
            event.stopPropagation();
            done(null);
          } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) done(now);
        }}
      />
      <div class="row end">
        <button type="button" onClick={() => done(null)}>
          Cancel
        </button>
        <button type="submit" class="primary">
          {answers ? "Send" : "Save"}
        </button>
      </div>
    </form>
  );
}

const REASONS: Readonly<Record<string, string>> = {
  length: "ended by the limit of tokens",
  stopped: "stopped",
  edited: "edited",
  failed: "failed",
};

function Facts({ end }: { readonly end: Ending }): JSX.Element {
  const { usage, firstMs, answerMs, reason } = end;
  const rate = usage && answerMs && usage.answerTokens > 1 ? (1000 * (usage.answerTokens - 1)) / answerMs : null;
  const facts = [
    REASONS[reason],
    usage && `${usage.answerTokens} tokens`,
    rate !== null && `${rate >= 10 ? Math.round(rate) : rate.toFixed(1)} tokens/s`,
    firstMs !== undefined && `first after ${firstMs} ms`,
    usage && `prompt ${usage.promptTokens}${usage.cachedTokens > 0 ? ` (${usage.cachedTokens} cached)` : ""}`,
  ];
  return <small class="quiet facts-line">{facts.filter(Boolean).join(" \u00B7 ")}</small>;
}
