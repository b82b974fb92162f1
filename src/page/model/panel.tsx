// The Model panel: what the models are, where their bytes are, how fast they write; loading and
// unloading them.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { ModelFacts, PageEngine } from "../engine.ts";
import { bytesText } from "../experts/text.ts";
import type { PanelProps } from "../panel.ts";

/** How often it is read again while it is in view. */
const AGAIN_MS = 2000;

export function ModelPanel({ engine, model, models, shown, refresh }: PanelProps): JSX.Element | null {
  useEffect(() => {
    if (!shown) return;
    refresh();
    const timer = setInterval(refresh, AGAIN_MS);
    return () => clearInterval(timer);
  }, [shown, refresh]);
  if (!shown) return null;
  if (model === null) return <p class="empty">There is no model.</p>;
  return (
    <div class="facts">
      <h2>{model.id}</h2>
      <Facts model={model} />
      {model.memory && <Memory memory={model.memory} />}
      {(models.length > 1 || models.some(({ movable }) => movable)) && (
        <Served engine={engine} models={models} refresh={refresh} />
      )}
    </div>
  );
}

function Facts({ model }: { readonly model: ModelFacts }): JSX.Element {
  const { made, load, context } = model;
  const facts: [string, string][] = [["State", stateText(model)]];
  if (load) facts.push(["Speed now", speedText(load)]);
  if (context !== undefined) facts.push(["Context", `${count(context)} tokens${trained(model)}`]);
  if (made) {
    const { parameters, activeParameters, layers, sparseLayers, experts, perToken } = made;
    const dense = layers - sparseLayers;
    facts.push(
      ["Family", made.family],
      ["Parameters", `${billions(parameters)}, of which a token uses ${billions(activeParameters)}`],
      ["Layers", `${sparseLayers} of ${experts} experts, ${perToken} a token${dense > 0 ? `; ${dense} dense` : ""}`],
      ["Precision", made.weights + (made.repacked === undefined ? "" : ` (the file has ${made.repacked})`)],
      ["KV cache", made.kv],
      ["Tokenizer", made.tokenizer === undefined ? "none" : `${count(made.tokenizer)} tokens`],
      ["Conversations", made.chat ?? "not supported"],
      ["Runs on", made.device],
      ["Loaded in", `${(made.loadMs / 1000).toFixed(1)} s`],
    );
  } else if (model.bytes !== undefined) facts.push(["Takes", `${bytesText(model.bytes)} of memory`]);
  return <dl>{facts.flatMap(([name, value]) => [<dt key={name}>{name}</dt>, <dd key={`${name} is`}>{value}</dd>])}</dl>;
}

function trained({ made, context }: ModelFacts): string {
  return made && made.trainedContext !== context ? ` (of ${count(made.trainedContext)})` : "";
}

const count = (value: number): string => value.toLocaleString("en");

function billions(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)} billion`;
  return value >= 1e6 ? `${(value / 1e6).toFixed(1)} million` : count(value);
}

function speedText({ running, queued, tokensPerSecond }: NonNullable<ModelFacts["load"]>): string {
  const wait = queued > 0 ? `, ${queued} waiting` : "";
  if (running === 0) return `idle${wait}`;
  return `${tokensPerSecond.toFixed(1)} tokens a second, ${running} answers under way${wait}`;
}

function stateText({ state, progress, reason, expires }: ModelFacts): string {
  if (state === "loading") return `loading, ${Math.round(100 * (progress ?? 0))} %`;
  if (state === "failed") return `failed: ${reason ?? "not known why"}`;
  const until = expires ? `, unloaded at ${expires.toLocaleTimeString()} if no request comes` : "";
  return state + until;
}

function Memory({ memory }: { readonly memory: NonNullable<ModelFacts["memory"]> }): JSX.Element {
  const { gpu, ram, disk, kv, scratch, draft } = memory;
  const parts = [
    { name: "GPU memory", place: "gpu", bytes: gpu },
    { name: "RAM", place: "ram", bytes: ram },
    { name: "disk only (experts)", place: "disk", bytes: disk },
  ].filter(({ bytes }) => bytes > 0);
  const whole = parts.reduce((sum, { bytes }) => sum + bytes, 0);
  const drafts = draft === undefined ? "" : `, ${bytesText(draft)} the draft model`;
  return (
    <section aria-label="Memory">
      <h3>Memory</h3>
      <div class="bars" aria-hidden="true">
        {parts.map(({ place, bytes }) => (
          <span key={place} class={`bar-part swatch-${place}`} style={{ flexGrow: bytes / whole }} />
        ))}
      </div>
      <ul class="legend">
        {parts.map(({ name, place, bytes }) => (
          <li key={place}>
            <span class={`swatch ${place}`} /> {`${name}: ${bytesText(bytes)}`}
          </li>
        ))}
      </ul>
      <p class="quiet">{`Of it ${bytesText(kv)} are the KV cache, ${bytesText(scratch)} scratch${drafts}.`}</p>
    </section>
  );
}

type ServedProps = Pick<PanelProps, "engine" | "models" | "refresh">;

function Served({ engine, models, refresh }: ServedProps): JSX.Element {
  const [failure, setFailure] = useState<string | null>(null);
  const act = (work: Promise<void> | undefined): void => {
    setFailure(null);
    work?.catch((error: unknown) => setFailure(error instanceof Error ? error.message : String(error))).then(refresh);
  };
  return (
    <section aria-label="Models of this server">
      <h3>Models of this server</h3>
      {failure !== null && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      <ul class="served">
        {models.map((model) => (
          <li key={model.id}>
            <span class="served-name">{model.id}</span>
            <span class="quiet">
              {stateText(model)}
              {model.pinned && ", pinned"}
              {model.bytes !== undefined && `, ${bytesText(model.bytes)}`}
            </span>
            <Buttons engine={engine} model={model} act={act} />
          </li>
        ))}
      </ul>
    </section>
  );
}

interface ButtonsProps {
  readonly engine: PageEngine;
  readonly model: ModelFacts;
  readonly act: (work: Promise<void> | undefined) => void;
}

function Buttons({ engine, model: { id, state, movable }, act }: ButtonsProps): JSX.Element | null {
  if (!movable) return null;
  if (state === "ready")
    return (
      <button type="button" aria-label={`Unload ${id}`} onClick={() => act(engine.unload?.(id))}>
        Unload
      </button>
    );
  return (
    <button
      type="button"
      aria-label={`Load ${id}`}
      disabled={state === "loading" || state === "unloading"}
      onClick={() => act(engine.load?.(id))}
    >
      Load
    </button>
  );
}
