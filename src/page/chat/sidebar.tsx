// The kept conversations: begin, open, find, rename, delete, export, import.

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { useStore } from "../store.ts";
import type { Controller } from "./controller.ts";
import type { Kind } from "./conversation.ts";
import type { Head, Library } from "./library.ts";
import { exported, ImportError, imported, LARGEST_FILE } from "./transfer.ts";

/** The search begins when the person has paused. */
const PAUSE_MS = 200;
/** Most conversations in view; the search finds the others. */
const MOST_SHOWN = 300;

export interface SidebarProps {
  readonly controller: Controller;
  readonly library: Library;
  /** Called when a conversation was chosen: a narrow page hides the list. */
  readonly chosen: () => void;
}

export function Sidebar({ controller, library, chosen }: SidebarProps): JSX.Element {
  const heads = useStore(controller.heads);
  const { id } = useStore(controller.conversation);
  const answering = useStore(controller.answering);
  const [wanted, setWanted] = useState("");
  const [found, setFound] = useState<ReadonlySet<string> | null>(null);
  const [renamed, rename] = useState<string | null>(null);
  const [said, say] = useState("");
  useEffect(() => {
    if (wanted.trim() === "") return setFound(null);
    let current = true;
    const timer = setTimeout(() => {
      void library.search(wanted.trim()).then((ids) => current && setFound(ids));
    }, PAUSE_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [wanted, heads]);
  const begin = (kind: Kind): void => {
    controller.begin(kind);
    chosen();
  };
  const shown = found === null ? heads : heads.filter((head) => found.has(head.id));
  return (
    <div class="sidebar-inner">
      <div class="row">
        <button type="button" class="primary grow" onClick={() => begin("chat")}>
          New chat
        </button>
        <button
          type="button"
          onClick={() => begin("text")}
          title="A text that the model continues, as a base model does"
        >
          New text
        </button>
      </div>
      <input
        type="search"
        aria-label="Search conversations"
        placeholder="Search"
        value={wanted}
        onInput={(event) => setWanted(event.currentTarget.value)}
      />
      <ul class="heads" aria-label="Conversations">
        {shown.slice(0, MOST_SHOWN).map((head) => (
          <li key={head.id} class={head.id === id ? "current" : ""}>
            {renamed === head.id ? (
              <Rename
                head={head}
                done={(title) => {
                  rename(null);
                  if (title !== null) void controller.rename(head.id, title);
                }}
              />
            ) : (
              <>
                <button
                  type="button"
                  class="open"
                  aria-current={head.id === id}
                  onClick={() => {
                    void controller.open(head.id);
                    chosen();
                  }}
                  onDblClick={() => rename(head.id)}
                >
                  {head.title || "Without a title"}
                </button>
                {answering.has(head.id) && (
                  <span class="answering" role="img" aria-label="being answered" title="Being answered" />
                )}
                <button
                  type="button"
                  class="icon rename"
                  aria-label={`Rename ${head.title}`}
                  title="Rename"
                  onClick={() => rename(head.id)}
                >
                  {"\u270E"}
                </button>
                <Delete head={head} remove={() => void controller.remove(head.id)} />
              </>
            )}
          </li>
        ))}
      </ul>
      {shown.length === 0 && <p class="quiet">{found === null ? "Nothing yet." : "Nothing found."}</p>}
      {shown.length > MOST_SHOWN && <p class="quiet">and {shown.length - MOST_SHOWN} more: search for them</p>}
      <Transfer controller={controller} library={library} say={say} />
      <p class="quiet small" role="status">
        {said || (library.lasts ? "Kept in this browser only." : "This browser keeps nothing: export what you need.")}
      </p>
    </div>
  );
}

function Rename({ head, done }: { readonly head: Head; readonly done: (title: string | null) => void }): JSX.Element {
  const field = useRef<HTMLInputElement>(null);
  const over = useRef(false);
  const end = (title: string | null): void => {
    if (!over.current) done(title);
    over.current = true; // a field that goes away loses the focus
  };
  useLayoutEffect(() => {
    field.current?.focus();
    field.current?.select();
  }, []);
  return (
    <form
      class="grow"
      onSubmit={(event) => {
        event.preventDefault();
        end(field.current!.value.trim());
      }}
    >
      <input
        ref={field}
        aria-label="Title"
        maxLength={200}
        defaultValue={head.title}
        onBlur={(event) => end(event.currentTarget.value.trim())}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          event.stopPropagation();
          end(null);
        }}
      />
    </form>
  );
}

/** Asks a second time, in its own place. */
function Delete({ head, remove }: { readonly head: Head; readonly remove: () => void }): JSX.Element {
  const [sure, ask] = useState(false);
  return (
    <button
      type="button"
      class={sure ? "sure" : "icon"}
      aria-label={sure ? `Really delete ${head.title}` : `Delete ${head.title}`}
      title={sure ? "Once more to delete" : "Delete"}
      onClick={() => (sure ? remove() : ask(true))}
      onBlur={() => ask(false)}
    >
      {sure ? "Delete?" : "\u2715"}
    </button>
  );
}

interface TransferProps {
  readonly controller: Controller;
  readonly library: Library;
  readonly say: (text: string) => void;
}

function Transfer({ controller, library, say }: TransferProps): JSX.Element {
  const picker = useRef<HTMLInputElement>(null);
  const read = async (file: File): Promise<void> => {
    try {
      if (file.size > LARGEST_FILE) throw new ImportError(`expected at most ${LARGEST_FILE} bytes, found ${file.size}`);
      const conversations = imported(await file.text());
      await controller.add(conversations);
      say(`Imported ${conversations.length}.`);
    } catch (error) {
      say(`${file.name} was not imported: ${(error as Error).message}`);
    }
  };
  return (
    <div class="row">
      <button
        type="button"
        onClick={() => void library.all().then((all) => save(exported(all), "hotset-conversations.json"))}
      >
        Export all
      </button>
      <button type="button" onClick={() => picker.current?.click()}>
        Import
      </button>
      <input
        ref={picker}
        class="hidden"
        type="file"
        accept=".json,application/json"
        aria-label="File to import"
        tabIndex={-1}
        onChange={(event) => {
          const [file] = event.currentTarget.files ?? [];
          if (file) void read(file);
          event.currentTarget.value = "";
        }}
      />
    </div>
  );
}

/** Gives the person a file. */
function save(text: string, name: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
