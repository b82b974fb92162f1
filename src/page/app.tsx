// The shell: a bar with the model and the tabs, and the panels below it.

import type { ComponentChildren, JSX } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { EngineError, type ModelFacts, type PageEngine } from "./engine.ts";
import type { Panel } from "./panel.ts";
import { PANELS } from "./panels.ts";
import { useStore } from "./store.ts";
import { THEMES, theme } from "./theme.ts";

/** While a model is being loaded its state is read so often. */
const LOADING_MS = 1000;

interface AppProps {
  readonly engine: PageEngine;
  readonly all?: readonly Panel[];
  /** In the bar, beside the theme. */
  readonly children?: ComponentChildren;
}

/** @param all the panels that there are; those that fit the engine are shown */
export function App({ engine, all = PANELS, children }: AppProps): JSX.Element {
  const { models, failure, refresh } = useModels(engine);
  const [chosen, choose] = useState<string | null>(null);
  const panels = all.filter((panel) => panel.fits(engine));
  const [tab, setTab] = useState(panels[0]!.id);
  const model = models.find(({ id }) => id === chosen) ?? models[0] ?? null;
  const select = (id: string): void => {
    setTab(id);
    document.getElementById(`tab-${id}`)?.focus();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step === 0) return;
    const at = panels.findIndex(({ id }) => id === tab);
    select(panels[(at + step + panels.length) % panels.length]!.id);
    event.preventDefault();
  };
  return (
    <>
      <header class="bar">
        <h1 class="brand">
          <span class="mark" aria-hidden="true" />
          hotset
        </h1>
        <div class="tabs" role="tablist" aria-label="Panels" onKeyDown={onKeyDown}>
          {panels.map(({ id, title }) => (
            <button
              key={id}
              type="button"
              role="tab"
              id={`tab-${id}`}
              aria-selected={id === tab}
              aria-controls={`panel-${id}`}
              tabIndex={id === tab ? 0 : -1}
              onClick={() => setTab(id)}
            >
              {title}
            </button>
          ))}
        </div>
        <ModelPicker models={models} model={model} choose={choose} />
        {children}
        <ThemeSwitch />
      </header>
      {failure !== null && (
        <p class="failure" role="alert">
          {failure}{" "}
          <button type="button" onClick={refresh}>
            Try again
          </button>
        </p>
      )}
      <main>
        {panels.map(({ id, View }) => (
          <div
            key={id}
            class="panel"
            role="tabpanel"
            id={`panel-${id}`}
            aria-labelledby={`tab-${id}`}
            hidden={id !== tab}
          >
            <View engine={engine} model={model} models={models} shown={id === tab} refresh={refresh} />
          </div>
        ))}
      </main>
    </>
  );
}

function useModels(engine: PageEngine) {
  const [models, setModels] = useState<readonly ModelFacts[]>([]);
  const [failure, setFailure] = useState<EngineError | null>(null);
  const asked = useRef(0);
  const refresh = useCallback((): void => {
    const mine = ++asked.current;
    engine.models().then(
      (found) => {
        if (mine !== asked.current) return;
        setModels(found);
        setFailure(null);
      },
      (error: unknown) => {
        if (mine === asked.current) setFailure(error instanceof EngineError ? error : new EngineError(String(error)));
      },
    );
  }, [engine]);
  useEffect(() => {
    refresh();
    // The server may be another one by now.
    const shown = (): void => void (document.visibilityState === "visible" && refresh());
    document.addEventListener("visibilitychange", shown);
    return () => document.removeEventListener("visibilitychange", shown);
  }, [refresh]);
  // A server that is starting, or was restarted.
  const gone = failure !== null && (failure.status === 0 || failure.status === 503);
  const loading = gone || models.some(({ state }) => state === "loading" || state === "unloading");
  useEffect(() => {
    if (!loading) return;
    const timer = setInterval(refresh, LOADING_MS);
    return () => clearInterval(timer);
  }, [loading, refresh]);
  return { models, failure: failure?.message ?? null, refresh };
}

interface PickerProps {
  readonly models: readonly ModelFacts[];
  readonly model: ModelFacts | null;
  readonly choose: (id: string) => void;
}

function ModelPicker({ models, model, choose }: PickerProps): JSX.Element | null {
  if (model === null) return null;
  const stateOf = ({ state, progress = 0 }: ModelFacts): string =>
    state === "ready" ? "" : state === "loading" ? ` (loading, ${Math.round(100 * progress)} %)` : ` (${state})`;
  return (
    <label class="picker">
      <span class="hidden">Model</span>
      <select value={model.id} onChange={(event) => choose(event.currentTarget.value)}>
        {models.map((one) => (
          <option key={one.id} value={one.id}>
            {one.id + stateOf(one)}
          </option>
        ))}
      </select>
    </label>
  );
}

function ThemeSwitch(): JSX.Element {
  const now = useStore(theme);
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]!;
  const sign = { system: "\u25D0", light: "\u2600", dark: "\u263E" }[now];
  return (
    <button
      type="button"
      class="icon"
      aria-label={`Theme: ${now}. Change to ${next}.`}
      title={`Theme: ${now}`}
      onClick={() => theme.set(next)}
    >
      {sign}
    </button>
  );
}
