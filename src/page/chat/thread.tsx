// The branch in view, message by message, which follows an answer as it grows.

import type { JSX } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { useStore } from "../store.ts";
import type { Controller } from "./controller.ts";
import { branchOf, type Conversation, type Node, openCalls } from "./conversation.ts";
import { MessageView } from "./message.tsx";
import { Results } from "./tool_calls.tsx";

/** Pixels from the end at which the thread still follows it. */
const NEAR = 80;

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
  const calls = live === null ? openCalls(branch) : [];
  useLayoutEffect(() => {
    const thread = area.current;
    if (thread && follows.current) thread.scrollTop = thread.scrollHeight;
  }, [live, branch]);
  useLayoutEffect(() => {
    follows.current = true;
    if (area.current) area.current.scrollTop = area.current.scrollHeight;
  }, [conversation.id]);
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
        {branch.map((node, i) => (
          <MessageView
            key={node.id}
            node={live?.id === node.id ? live : node}
            siblings={siblings.get(node.parent) ?? []}
            kind={conversation.kind}
            growing={live?.id === node.id}
            busy={live !== null}
            last={i === branch.length - 1}
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
