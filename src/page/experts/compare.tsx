// Two runs compared: which experts one text used more than the other.

import type { JSX } from "preact";
import { useCallback, useMemo, useState } from "preact/hooks";
import { ExpertsMap } from "./canvas.tsx";
import { paintDifference } from "./map.ts";
import { compare, type Recorder, type Run } from "./recorder.ts";

export function CompareRuns({ recorder }: { readonly recorder: Recorder }): JSX.Element | null {
  const { runs, head, width } = recorder;
  const [chosen, choose] = useState<readonly [number | null, number | null]>([null, null]);
  const found = (number: number | null): Run | undefined => runs.find((run) => run.number === number);
  const [a, b] = [found(chosen[0]) ?? runs[1], found(chosen[1]) ?? runs[0]];
  // Of the run under way the tokens of this moment, drawn again when there are more.
  const comparison = useMemo(
    () => (a && b ? compare(head, a, b) : null),
    [head, a?.number, a?.tokens, b?.number, b?.tokens],
  );
  const describe = useCallback(
    (cell: number): string => {
      if (comparison === null || !a || !b) return "";
      const [layer, expert] = [Math.floor(cell / width), cell % width];
      const points = comparison.map[cell]! * comparison.largest * 100;
      const more = Math.abs(points) < 0.05 ? "as often in both" : `${Math.abs(points).toFixed(1)} points more in`;
      const which = Math.abs(points) < 0.05 ? "" : ` run ${points > 0 ? b.number : a.number}`;
      return `Layer ${head.layers[layer]}, expert ${expert}: ${more}${which}; ${a.counts[cell]} uses in run ${a.number}, ${b.counts[cell]} in run ${b.number}.`;
    },
    [comparison, a?.number, b?.number],
  );
  if (!a || !b || comparison === null)
    return <p class="quiet">Two texts can be compared here once the model has written two.</p>;
  return (
    <section class="compare" aria-label="Two texts compared">
      <h2>Two texts compared</h2>
      <div class="row">
        <RunPicker label="First text" runs={runs} run={a} choose={(number) => choose([number, b.number])} />
        <RunPicker label="Second text" runs={runs} run={b} choose={(number) => choose([a.number, number])} />
      </div>
      <p>
        They have {(100 * comparison.common).toFixed(0)} % of their use of experts in common;
        {` ${layerOf(comparison.layers, Math.min, head.layers)} differs most, ${layerOf(comparison.layers, Math.max, head.layers)} least.`}
      </p>
      <ul class="legend">
        <li>
          <span class="swatch less" /> more in run {a.number}
        </li>
        <li>
          <span class="swatch more" /> more in run {b.number}
        </li>
      </ul>
      <ExpertsMap
        key={`${a.number} ${a.tokens} ${b.number} ${b.tokens}`}
        width={width}
        height={head.experts.length}
        label={`How run ${b.number} differs from run ${a.number}, layers by experts`}
        paint={(pixels, shades) => {
          paintDifference(pixels, shades, comparison.map);
          return false;
        }}
        describe={describe}
      />
    </section>
  );
}

function layerOf(common: readonly number[], which: (...all: number[]) => number, names: readonly number[]): string {
  return `layer ${names[common.indexOf(which(...common))]}`;
}

interface RunPickerProps {
  readonly label: string;
  readonly runs: readonly Run[];
  readonly run: Run;
  readonly choose: (number: number) => void;
}

function RunPicker({ label, runs, run, choose }: RunPickerProps): JSX.Element {
  return (
    <label class="field">
      {label}
      <select value={run.number} onChange={(event) => choose(Number(event.currentTarget.value))}>
        {runs.map(({ number, asked, began, tokens }) => (
          <option key={number} value={number}>
            {`Run ${number}, ${asked ? `“${asked.title}”` : new Date(began).toLocaleTimeString()}, ${tokens} tokens`}
          </option>
        ))}
      </select>
    </label>
  );
}
