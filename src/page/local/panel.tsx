// Opens a model in the page: from this device, from the hub, or one that this browser keeps.

import type { JSX } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { type PageStorage, pageStorage, pull } from "../../browser.ts";
import type { Panel, PanelProps } from "../panel.ts";
import { useStore } from "../store.ts";
import { bytes } from "./bytes.ts";
import { Bar, Now } from "./current.tsx";
import type { LocalEngine } from "./engine.ts";
import { type KeptModel, keepCopy, type PickedFile } from "./kept.ts";
import { idOf, pickedOf, pickFolder, placeOf } from "./picked.ts";

/** What the panel is told of the page. */
export interface Surroundings {
  /** What makes it slower than it could be, as a sentence; null: nothing. */
  readonly missing: string | null;
  /** The hub's address; default: Hugging Face's. */
  readonly hub?: string;
}

export function openPanel(engine: LocalEngine, surroundings: Surroundings): Panel {
  const View = (props: PanelProps): JSX.Element => <OpenModel {...props} local={engine} around={surroundings} />;
  return { id: "open", title: "Open", fits: () => true, View };
}

interface Props extends PanelProps {
  readonly local: LocalEngine;
  readonly around: Surroundings;
}

/** Work that shows how far it is, and can be stopped. */
interface Work {
  readonly what: string;
  readonly done: number;
  readonly total: number;
}

function OpenModel({ local, around, refresh }: Props): JSX.Element {
  const current = useStore(local.current);
  const [work, setWork] = useState<Work | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const stop = useRef<AbortController | null>(null);
  const stored = useStored(local, refresh);
  useEffect(() => {
    refresh();
  }, [current?.id, current?.state]);

  /** One at a time: what runs is stopped. */
  const begin = async (job: (signal: AbortSignal) => Promise<void>): Promise<void> => {
    stop.current?.abort();
    const controller = new AbortController();
    stop.current = controller;
    setFailure(null);
    try {
      await job(controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) setFailure((error as Error).message);
    } finally {
      if (stop.current === controller) setWork(null);
      stored.read();
    }
  };
  const told = (what: string) => (done: number, total: number) => setWork({ what, done, total });

  const openPicked = (picked: readonly PickedFile[], keep: boolean): Promise<void> =>
    begin(async (signal) => {
      const id = idOf(picked);
      const copy = keep ? await keepCopy(id, picked, told(`Copying ${id}`), signal) : null;
      setWork(null);
      await local.open(copy?.id ?? id, copy ? await copy.open() : placeOf(picked), signal);
    });
  const openNamed = (name: string): Promise<void> =>
    begin(async (signal) => {
      setWork({ what: `Looking up ${name}`, done: 0, total: 0 });
      const endpoint = around.hub;
      const onProgress = told(`Downloading ${name}`);
      const pulled = await pull(name, { signal, onProgress, ...(endpoint !== undefined && { endpoint }) });
      setWork(null);
      await local.open(pulled.name, pulled.path, signal);
    });

  return (
    <div class="open-model">
      {around.missing !== null && <p class="notice">{around.missing}</p>}
      {failure !== null && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      {work !== null && (
        <div class="work" role="status">
          <Bar label={work.what} done={work.done} total={work.total} />
          <button type="button" onClick={() => stop.current?.abort()}>
            Stop
          </button>
        </div>
      )}
      <Now current={current} close={() => void local.unload!("")} />
      <FromDevice open={openPicked} />
      <FromHub open={openNamed} />
      <Kept
        models={stored.models}
        storage={stored.storage}
        open={(model) => void begin(async (signal) => local.open(model.id, await model.open(), signal))}
        remove={(model) =>
          void begin(async () => {
            if (current?.id === model.id) await local.unload!(model.id);
            await model.remove();
          })
        }
      />
    </div>
  );
}

function useStored(local: LocalEngine, refresh: () => void) {
  const [models, setModels] = useState<readonly KeptModel[]>([]);
  const [storage, setStorage] = useState<PageStorage | null>(null);
  const read = useCallback((): void => {
    void local.kept().then((found) => {
      setModels(found);
      refresh();
    });
    pageStorage().then(setStorage, () => setStorage(null));
  }, [local, refresh]);
  useEffect(read, [read]);
  return { models, storage, read };
}

function FromDevice({ open }: { readonly open: (picked: readonly PickedFile[], keep: boolean) => void }): JSX.Element {
  const [keep, setKeep] = useState(true);
  const [failure, setFailure] = useState<string | null>(null);
  const take = (picked: readonly PickedFile[]): void => {
    setFailure(picked.length > 0 ? null : "The folder is empty.");
    if (picked.length > 0) open(picked, keep);
  };
  const picker = (label: string, folder: boolean): JSX.Element => (
    <label class="button">
      {label}
      <input
        class="hidden"
        type="file"
        multiple
        {...(folder && { webkitdirectory: true })}
        onChange={(event) => {
          take(pickedOf([...(event.currentTarget.files ?? [])]));
          event.currentTarget.value = ""; // the same may be picked again
        }}
      />
    </label>
  );
  return (
    <section aria-labelledby="from-device">
      <h2 id="from-device">From this device</h2>
      <p class="quiet">A folder of weights as published, or a GGUF file with all of its parts. Nothing is uploaded.</p>
      <div class="row wrap">
        {"showDirectoryPicker" in globalThis ? (
          <button type="button" onClick={() => void pickFolder().then((picked) => picked && take(picked), tell)}>
            Choose a folder
          </button>
        ) : (
          picker("Choose a folder", true)
        )}
        {picker("Choose files", false)}
      </div>
      <label class="check">
        <input type="checkbox" checked={keep} onChange={(event) => setKeep(event.currentTarget.checked)} />
        Keep a copy in this browser: it opens without asking, also offline, and is read faster
      </label>
      {failure !== null && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
    </section>
  );

  function tell(error: unknown): void {
    setFailure((error as Error).message);
  }
}

function FromHub({ open }: { readonly open: (name: string) => void }): JSX.Element {
  const [name, setName] = useState("");
  return (
    <section aria-labelledby="from-hub">
      <h2 id="from-hub">From the hub</h2>
      <form
        class="row wrap"
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim() !== "") open(name.trim());
        }}
      >
        <label class="grow">
          <span class="hidden">Name of a model</span>
          <input
            type="text"
            placeholder="owner/name, or owner/name:Q4_K_M"
            spellcheck={false}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        </label>
        <button type="submit">Download and open</button>
      </form>
    </section>
  );
}

interface KeptProps {
  readonly models: readonly KeptModel[];
  readonly storage: PageStorage | null;
  readonly open: (model: KeptModel) => void;
  readonly remove: (model: KeptModel) => void;
}

function Kept({ models, storage, open, remove }: KeptProps): JSX.Element {
  return (
    <section aria-labelledby="kept">
      <h2 id="kept">Kept in this browser</h2>
      {models.length === 0 && <p class="quiet">None yet.</p>}
      <ul class="plain">
        {models.map((model) => (
          <li key={model.id} class="row">
            <span class="grow name">{model.id}</span>
            <span class="quiet">{bytes(model.bytes)}</span>
            <button type="button" aria-label={`Open ${model.id}`} onClick={() => open(model)}>
              Open
            </button>
            <button type="button" aria-label={`Remove ${model.id}`} onClick={() => remove(model)}>
              Remove
            </button>
          </li>
        ))}
      </ul>
      {storage !== null && storage.quota > 0 && (
        <p class="quiet">
          {bytes(storage.used)} of {bytes(storage.quota)} used.{" "}
          {storage.persisted ? "The browser asks before it removes them." : <Persist />}
        </p>
      )}
    </section>
  );
}

function Persist(): JSX.Element {
  const [refused, setRefused] = useState(false);
  const ask = async (): Promise<void> => setRefused(!(await navigator.storage.persist()));
  if (refused) return <span>The browser may remove them when the disk is full.</span>;
  return (
    <button type="button" onClick={() => void ask()}>
      Keep them when the disk is full
    </button>
  );
}
