// The branch in view, message by message, which follows an answer as it grows.

import type { JSX } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { useStore } from "../store.ts";
import type { Controller } from "./controller.ts";
import { branchOf, type Conversation, type Node, openCalls } from "./conversation.ts";
import { MessageView } from "./message.tsx";
import { Results } from "./tool_calls.tsx";

/** Pixels from the end at which the thread still follows it. */
const NEAR = 80;
/** Messages that are shown at first, and more at a time. */
const SHOWN = 100;

export interface ThreadProps {
  readonly conversation: Conversation;
  readonly controller: Controller;
}

export function Thread({ conversation, controller }: ThreadProps): JSX.Element {
  const live = useStore(controller.live);
  const area = useRef<HTMLDivElement>(null);
  const follows = useRef(true);
  const branch = useMemo(() => branchOf(conversation), [conversation.nodes, conversation.leaf]);
  const siblings = useMemo(() => siblingsByParent(conversation), [conversation.nodes]);
  const [most, setMost] = useState(SHOWN);
  const hidden = Math.max(0, branch.length - most);
  /** Pixels from the top of what is in view to the end, before more is shown above. */
  const below = useRef<number | null>(null);
  const calls = live === null ? openCalls(branch) : [];
  const begun = live?.id;
  useLayoutEffect(() => {
    if (begun !== undefined) follows.current = true; // the person has asked for it
  }, [begun]);
  useLayoutEffect(() => {
    const thread = area.current;
    if (thread && follows.current) thread.scrollTop = thread.scrollHeight;
  }, [live, branch]);
  useLayoutEffect(() => {
    follows.current = true;
    setMost(SHOWN);
    if (area.current) area.current.scrollTop = area.current.scrollHeight;
  }, [conversation.id]);
  useLayoutEffect(() => {
    const thread = area.current;
    if (thread && below.current !== null) thread.scrollTop = thread.scrollHeight - below.current;
    below.current = null;
  }, [most]);
  const showMore = (): void => {
    const { scrollHeight, scrollTop } = area.current!;
    below.current = scrollHeight - scrollTop;
    setMost(most + SHOWN);
  };
  return (
    <div
      ref={area}
      class="thread"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keyboard
      tabIndex={0}
      role="log"
      aria-label="Conversation"
      aria-live="off"
      onScroll={(event) => {
        const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
        follows.current = scrollHeight - scrollTop - clientHeight < NEAR;
      }}
    >
      <div class="messages">
        {hidden > 0 && (
          <button type="button" class="earlier" onClick={showMore}>
            Show earlier messages ({hidden})
          </button>
        )}
        {branch.slice(hidden).map((node, i) => (
          <MessageView
            key={node.id}
            node={live?.id === node.id ? live : node}
            siblings={siblings.get(node.parent) ?? []}
            kind={conversation.kind}
            growing={live?.id === node.id}
            busy={live !== null}
            last={hidden + i === branch.length - 1}
            controller={controller}
          />
        ))}
        {calls.length > 0 && <Results calls={calls} give={controller.giveResults} />}
      </div>
    </div>
  );
}

function siblingsByParent({ nodes }: Conversation): ReadonlyMap<string | null, readonly Node[]> {
  const found = new Map<string | null, Node[]>();
  for (const node of nodes.values()) {
    const list = found.get(node.parent);
    if (list) list.push(node);
    else found.set(node.parent, [node]);
  }
  return found;
}
