// The model that is open in the page: how far it is, what it takes, and what computes it.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { ModelStats } from "../../browser.ts";
import { bytes } from "./bytes.ts";
import type { Current } from "./engine.ts";

interface BarProps {
  readonly label: string;
  readonly done: number;
  /** 0: not known yet. */
  readonly total: number;
}

export function Bar({ label, done, total }: BarProps): JSX.Element {
  return (
    <div class="grow">
      {label} {total > 0 && <span class="quiet">{`${bytes(done)} of ${bytes(total)}`}</span>}
      {total > 0 ? <progress aria-label={label} value={done} max={total} /> : <progress aria-label={label} />}
    </div>
  );
}

interface NowProps {
  readonly current: Current | null;
  readonly close: () => void;
}

export function Now({ current, close }: NowProps): JSX.Element | null {
  if (current === null) return null;
  const { id, state, done, total, reason, model } = current;
  return (
    <section aria-labelledby="now">
      <h2 id="now">{id}</h2>
      {state === "loading" && <Bar label="Loading" done={done} total={total} />}
      {state === "failed" && <p class="failure">{reason}</p>}
      {model && <Ready current={current} />}
      {model?.warnings.map((warning) => (
        <p class="notice">{warning}</p>
      ))}
      <div class="row">
        {state === "ready" && (
          <button type="button" class="primary" onClick={() => document.getElementById("tab-chat")?.click()}>
            Go to the chat
          </button>
        )}
        <button type="button" onClick={close}>
          {state === "loading" ? "Stop" : "Close"}
        </button>
      </div>
    </section>
  );
}

/** How often it is read again. */
const AGAIN_MS = 2000;

/** Where its weights, cache and scratch are. */
function Ready({ current: { model } }: { readonly current: Current }): JSX.Element | null {
  const [stats, setStats] = useState<ModelStats | null>(null);
  useEffect(() => {
    const read = (): void => void model?.stats().then(setStats, () => {});
    read();
    const timer = setInterval(read, AGAIN_MS);
    return () => clearInterval(timer);
  }, [model]);
  if (stats === null) return null;
  const { backend, weights, memory, experts } = stats;
  const gpu = backend.backend === "webgpu";
  const computes = gpu
    ? `WebGPU: ${backend.device}`
    : `CPU, ${backend.threads} ${backend.threads === 1 ? "thread" : "threads"}`;
  const rows: [string, string][] = [
    ["Computes on", computes],
    ["Weights", weights],
    [gpu ? "In GPU memory" : "In RAM", bytes(memory.weights + memory.kv + memory.scratch)],
  ];
  if (experts !== null) {
    const { main, ram, recordBytes, packed } = experts;
    const slots = main.slots * main.layers.length;
    rows.push([
      `Experts ${gpu ? "on the GPU" : "in RAM"}`,
      `${main.slots} of ${experts.experts} a layer, ${bytes(slots * recordBytes)}`,
    ]);
    if (ram) rows.push(["Behind them in RAM", `${ram.slots} of ${experts.experts} a layer`]);
    rows.push(["The others", "read when a token needs them"]);
    if (packed !== null) {
      const more = packed.refused === null ? "" : `; others are packed again each time: ${packed.refused}`;
      rows.push(["Packed experts kept", `${bytes(packed.bytes)} of this browser's storage${more}`]);
    }
  }
  return (
    <dl class="memory">
      {rows.map(([name, value]) => (
        <>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </>
      ))}
    </dl>
  );
}
