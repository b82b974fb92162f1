// The Experts panel: a live map of layers by experts, a timeline to look back, figures, runs
// compared.

import type { JSX } from "preact";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { PanelProps } from "../panel.ts";
import { ExpertsMap } from "./canvas.tsx";
import { CompareRuns } from "./compare.tsx";
import { paintHeat, type Shades } from "./map.ts";
import type { Recorder } from "./recorder.ts";
import { ExpertsTable } from "./table.tsx";
import { cellText, figuresText, timesOf, timeText } from "./text.ts";
import { useExperts } from "./watch.ts";

/** Figures are those of so many tokens. */
const RECENT = 32;
/** Texts change so often. */
const TEXT_MS = 500;
/** After the last token the map goes dark within some seconds. */
const FADE_MS = 1200;

export function ExpertsPanel({ engine, model, shown }: PanelProps): JSX.Element | null {
  const draw = useRef<() => void>(() => {});
  const arrived = useRef(0);
  const inView = useRef(shown);
  inView.current = shown;
  const onFrame = useCallback(() => {
    arrived.current = performance.now();
    if (inView.current) draw.current();
  }, []);
  /** Whether the stream stays open while another panel is in view. */
  const [records, setRecords] = useState(false);
  const { recorder, state, failure } = useExperts(engine, model?.id ?? null, shown || records, onFrame);
  /** The token that is looked at: the one before this; null: the newest. */
  const [held, setHeld] = useState<number | null>(null);
  const [, tick] = useState(0);
  useEffect(() => setHeld(null), [recorder]);
  useEffect(() => {
    if (!shown) return;
    const timer = setInterval(() => tick((n) => n + 1), TEXT_MS);
    return () => clearInterval(timer);
  }, [shown]);
  useEffect(() => draw.current(), [held]);
  const ready = useCallback((ask: () => void) => {
    draw.current = ask;
  }, []);
  const still = useMemo(() => matchMedia("(prefers-reduced-motion: reduce)"), []);
  const end = recorder === null ? 0 : Math.max(recorder.start, Math.min(held ?? recorder.end, recorder.end));
  const paint = (pixels: Uint32Array, shades: Shades): boolean => {
    if (recorder === null) return false;
    const live = held === null;
    const age = performance.now() - arrived.current;
    const fade = !live || still.matches ? 1 : Math.exp(-age / FADE_MS);
    const at = live ? recorder.end : end;
    paintHeat(pixels, shades, recorder.placesAt(at), recorder.heatAt(at), fade);
    return live && !still.matches && fade > 0.02;
  };
  const describe = useCallback(
    (cell: number) => (recorder ? cellText(recorder, cell, held ?? recorder.end) : ""),
    [recorder, held],
  );
  if (!shown) return null; // the recording is kept
  if (model === null) return <p class="empty">There is no model.</p>;
  if (recorder === null)
    return (
      <div class="empty">
        <p role="status">{failure ?? waitingText(state)}</p>
      </div>
    );
  const { head, width } = recorder;
  return (
    <div class="experts">
      <div class="experts-map">
        <Legend gpu={head.main === "gpu"} apart={head.recordBytes !== null} />
        {failure !== null && (
          <p class="failure" role="alert">
            {failure}
          </p>
        )}
        <ExpertsMap
          width={width}
          height={head.experts.length}
          label={`${head.experts.length} layers, from the top, by ${width} experts: where each is, and how recently it was used`}
          paint={paint}
          onReady={ready}
          describe={describe}
        />
        {recorder.end === 0 && (
          <p class="quiet">
            No token yet. What the model writes while this panel is in view is seen here, whoever asked for it; what it
            writes in the chat too with the box below.
          </p>
        )}
        <Timeline recorder={recorder} held={held} hold={setHeld} />
        <label class="check">
          <input type="checkbox" checked={records} onChange={(event) => setRecords(event.currentTarget.checked)} />
          <span>
            Record in the background{" "}
            <small class="quiet">also while the chat is in view; costs each token a little time</small>
          </span>
        </label>
        <ExpertsTable recorder={recorder} end={end} />
        <CompareRuns recorder={recorder} />
      </div>
      <Beside recorder={recorder} end={end} live={held === null} />
    </div>
  );
}

function waitingText(state: string): string {
  if (state === "loading") return "The model is being loaded.";
  return state === "ready"
    ? "Waiting for the first news of its experts."
    : "The model is not loaded: a message loads it.";
}

function Legend({ gpu, apart }: { readonly gpu: boolean; readonly apart: boolean }): JSX.Element {
  const places = [...(gpu ? ["gpu"] : []), ...(apart || !gpu ? ["ram"] : []), ...(apart ? ["disk"] : [])];
  const names: Readonly<Record<string, string>> = { gpu: "on the GPU", ram: "in RAM", disk: "on disk only" };
  return (
    <ul class="legend">
      {places.map((place) => (
        <li key={place}>
          <span class={`swatch ${place}`} /> {names[place]}
        </li>
      ))}
      <li>
        <span class="swatch lit" /> used just now
      </li>
    </ul>
  );
}

interface TimelineProps {
  readonly recorder: Recorder;
  readonly held: number | null;
  readonly hold: (token: number | null) => void;
}

function Timeline({ recorder, held, hold }: TimelineProps): JSX.Element {
  const { start, end } = recorder;
  const at = Math.max(start, Math.min(held ?? end, end));
  return (
    <div class="timeline row">
      <button type="button" aria-pressed={held !== null} onClick={() => hold(held === null ? end : null)}>
        {held === null ? "Pause" : "Live"}
      </button>
      <input
        type="range"
        aria-label="Token that the map shows"
        aria-valuetext={`token ${at} of ${end}`}
        min={Math.min(start + 1, end)}
        max={end}
        value={at}
        disabled={end === 0}
        onInput={(event) => hold(Number(event.currentTarget.value))}
      />
      <output class="quiet">
        token {at.toLocaleString("en")} of {end.toLocaleString("en")}
      </output>
    </div>
  );
}

interface BesideProps {
  readonly recorder: Recorder;
  readonly end: number;
  readonly live: boolean;
}

/** The figures beside the map. */
function Beside({ recorder, end, live }: BesideProps): JSX.Element {
  const { head } = recorder;
  const figures = recorder.figuresAt(end, RECENT);
  const times = timesOf(recorder, figures);
  const whole = times.reduce((sum, { ms }) => sum + ms, 0);
  return (
    <section class="experts-figures" aria-label="Figures">
      <h2>{live ? "The last tokens" : "The tokens before"}</h2>
      <dl>
        {figuresText(figures, head).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {times.length > 0 && (
        <>
          <h3>Where a token's time went</h3>
          <div class="bars" aria-hidden="true">
            {times.map(({ name, ms }, i) => (
              <span key={name} class={`bar-part part-${i}`} style={{ flexGrow: whole > 0 ? ms / whole : 0 }} />
            ))}
          </div>
          <ul class="bars-text">
            {times.map((part, i) => (
              <li key={part.name}>
                <span class={`swatch part-${i}`} /> {timeText(part)}
              </li>
            ))}
          </ul>
        </>
      )}
      <p class="quiet">
        {head.recordBytes === null
          ? "All experts are in the memory that computes them, so none is moved and no wait for them is measured."
          : `${head.slots} of a layer's experts have a place in ${head.main === "gpu" ? "GPU memory" : "RAM"}.`}
        {figures.dropped > 0 &&
          ` ${figures.dropped} tokens came too fast to be told one by one; they are in the counts.`}
      </p>
    </section>
  );
}
