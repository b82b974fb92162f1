// The chat panel: kept conversations, the one in view, and its parameters.

import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { PageEngine, ParameterRule } from "../engine.ts";
import type { PanelProps } from "../panel.ts";
import { CodeDialog } from "../samples/dialog.tsx";
import { useStore } from "../store.ts";
import { Composer } from "./composer.tsx";
import { type Controller, createController } from "./controller.ts";
import { branchOf, type Conversation, type Node } from "./conversation.ts";
import { inView } from "./in_view.ts";
import { type Library, openLibrary } from "./library.ts";
import { type Request, requestOf } from "./requests.ts";
import { PLAIN, SettingsError } from "./settings.ts";
import { SettingsPanel } from "./settings_panel.tsx";
import { ShortcutList, useShortcuts } from "./shortcuts.tsx";
import { Sidebar } from "./sidebar.tsx";
import { STARTERS } from "./starters.ts";
import { Thread } from "./thread.tsx";

export function ChatPanel(props: PanelProps): JSX.Element | null {
  const [opened, setOpened] = useState<Opened | null>(null);
  useEffect(() => {
    void openLibrary().then(async (library) => {
      const last = inView.get();
      setOpened({ library, first: last === null ? null : await library.load(last).catch(() => null) });
    });
  }, []);
  return opened === null ? null : <Chat {...props} {...opened} />;
}

interface Opened {
  readonly library: Library;
  /** What was in view before the page was loaded again; null: nothing that is kept. */
  readonly first: Conversation | null;
}

/** Statuses of failures after which other models may be there; 200: the answer broke off. */
const GONE: readonly (number | undefined)[] = [0, 200, 404, 503];

function Chat({ engine, model, library, first, shown, refresh }: PanelProps & Opened): JSX.Element {
  const controller = useMemo(() => createController(engine, library, first ?? undefined), [engine, library]);
  const conversation = useStore(controller.conversation);
  useEffect(() => inView.set(conversation.id), [conversation.id]);
  const busy = useStore(controller.live) !== null;
  const complaint = useStore(controller.complaint);
  const rules = useRules(engine, model?.id ?? null, model?.state === "ready");
  const [drawer, openDrawer] = useState<"list" | "settings" | null>(null);
  const [draft, setDraft] = useState<{ readonly text: string } | null>(null);
  const [listing, listShortcuts] = useState(false);
  const [code, showCode] = useState<Request | null>(null);
  const root = useRef<HTMLDivElement>(null);
  controller.model = model?.id ?? null;
  // A model without a chat template can only continue texts.
  useEffect(() => {
    const now = controller.conversation.get();
    if (model?.chatTemplate !== undefined && now.nodes.size === 0)
      controller.begin(model.chatTemplate ? "chat" : "text");
  }, [model?.id, model?.chatTemplate]);
  const editLast = (): void => {
    const all = root.current?.querySelectorAll<HTMLElement>(".message.user");
    const button = [...(all?.[all.length - 1]?.querySelectorAll("button") ?? [])].find(
      (one) => one.textContent === "Edit",
    );
    button?.click();
  };
  const last = branchOf(conversation).findLast(({ message }) => message.role === "assistant");
  // The model may be gone, or the server.
  const failed = GONE.includes(last?.end?.status) ? last!.id : null;
  useEffect(() => void (failed !== null && refresh()), [failed]);
  useShortcuts(shown, {
    stop: () => (busy ? controller.stop() : openDrawer(null)),
    begin: () => controller.begin(conversation.kind),
    regenerate: () => last && !busy && controller.regenerate(last),
    message: () => root.current?.querySelector<HTMLElement>("#message")?.focus(),
    list: () => openDrawer(drawer === "list" ? null : "list"),
    settings: () => openDrawer(drawer === "settings" ? null : "settings"),
    shortcuts: () => listShortcuts(true),
  });
  const { kind, settings } = conversation;
  const blocked = model === null ? "There is no model" : null;
  return (
    <div ref={root} class={`chat ${drawer === null ? "" : `drawer-${drawer}`}`}>
      <nav class="sidebar" aria-label="Conversations">
        <Sidebar controller={controller} library={library} chosen={() => openDrawer(null)} />
      </nav>
      <section class="center" aria-label="Chat">
        <div class="tools-line">
          <button
            type="button"
            class="only-narrow"
            aria-expanded={drawer === "list"}
            onClick={() => openDrawer(drawer === "list" ? null : "list")}
          >
            Chats
          </button>
          <span class="title">{conversation.title}</span>
          <button
            type="button"
            class="quiet-button"
            disabled={model === null}
            onClick={() => model && showCode(sampleRequest(conversation, model.id))}
          >
            Code
          </button>
          <button type="button" class="quiet-button" onClick={() => listShortcuts(true)}>
            Shortcuts
          </button>
          <button
            type="button"
            class="only-narrow"
            aria-expanded={drawer === "settings"}
            onClick={() => openDrawer(drawer === "settings" ? null : "settings")}
          >
            Parameters
          </button>
        </div>
        {conversation.nodes.size === 0 ? (
          <div class="thread starters">
            <h2>{kind === "chat" ? "What would you like to know?" : "Write a beginning"}</h2>
            <ul>
              {STARTERS[kind].map(({ title, text }) => (
                <li key={title}>
                  <button type="button" onClick={() => setDraft({ text })}>
                    <strong>{title}</strong>
                    <span>{text}</span>
                  </button>
                </li>
              ))}
            </ul>
          </div>
        ) : (
          <Thread conversation={conversation} controller={controller} />
        )}
        {complaint !== null && (
          <p class="failure" role="alert">
            {complaint}
          </p>
        )}
        <Composer
          kind={kind}
          busy={busy}
          blocked={blocked}
          draft={draft}
          send={controller.send}
          stop={controller.stop}
          editLast={editLast}
        />
        <Announcer controller={controller} />
      </section>
      <aside class="side" aria-label="Parameters">
        <SettingsPanel kind={kind} settings={settings} rules={rules} change={controller.set} />
      </aside>
      {drawer !== null && <button type="button" class="scrim" aria-label="Close" onClick={() => openDrawer(null)} />}
      {code && <CodeDialog request={code} url={engine.url} close={() => showCode(null)} />}
      {listing && <ShortcutList close={() => listShortcuts(false)} />}
    </div>
  );
}

const EXAMPLE: Node = { id: "", parent: null, created: 0, message: { role: "user", content: "Tell me a story." } };

/** The request whose answer is in view, for code samples; an example where nothing was asked yet. */
function sampleRequest(conversation: Conversation, model: string): Request {
  const branch = branchOf(conversation);
  const asked = branch.slice(0, branch.findLastIndex(({ message }) => message.role !== "assistant") + 1);
  const nodes = asked.length > 0 ? asked : [EXAMPLE];
  const { kind, settings } = conversation;
  try {
    return requestOf({ kind, settings: { ...settings, probabilities: false } }, nodes, model);
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    // Tools or a format that are not written to the end.
    const { system, sampling, stop } = settings;
    return requestOf({ kind, settings: { ...PLAIN, system, sampling, stop } }, nodes, model);
  }
}

/** The model's rules, read again when it is loaded. */
function useRules(engine: PageEngine, id: string | null, ready: boolean): readonly ParameterRule[] {
  const [rules, setRules] = useState<readonly ParameterRule[]>([]);
  useEffect(() => {
    if (id === null) return;
    const left = new AbortController();
    // Where they cannot be read, the list of models says why.
    engine.parameters(id, left.signal).then(setRules, () => {});
    return () => left.abort();
  }, [engine, id, ready]);
  return rules;
}

/** Most characters of an answer that are read out. */
const MOST_READ = 2000;

/** Says to a screen reader that an answer has begun, and reads it when it is there. */
function Announcer({ controller }: { readonly controller: Controller }): JSX.Element {
  const live = useStore(controller.live);
  const conversation = useStore(controller.conversation);
  const [begun, setBegun] = useState<string | null>(null);
  useEffect(() => {
    if (live !== null) setBegun(live.id);
  }, [live?.id]);
  const node = begun === null ? undefined : conversation.nodes.get(begun);
  const said = live !== null ? "The model answers." : (node?.end && node.message.content.slice(0, MOST_READ)) || "";
  return (
    <p class="hidden" role="status" aria-live="polite">
      {said}
    </p>
  );
}
