// The map as a table: a row for each layer, for screen readers and for exact numbers.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Scroll } from "../scroll.tsx";
import type { Recorder } from "./recorder.ts";
import { percent } from "./text.ts";

/** Experts of a layer that are named, those used most. */
const NAMED = 3;

export function ExpertsTable({ recorder, end }: { readonly recorder: Recorder; readonly end: number }): JSX.Element {
  const [open, setOpen] = useState(false);
  return (
    <details class="experts-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>As a table</summary>
      {open && <Rows recorder={recorder} end={end} />}
    </details>
  );
}

function Rows({ recorder, end }: { readonly recorder: Recorder; readonly end: number }): JSX.Element {
  const { head, width, counts } = recorder;
  const places = recorder.placesAt(end);
  const rows = head.experts.map((count, layer) => {
    const at = layer * width;
    const own = [...counts.subarray(at, at + count)].map((uses, expert) => ({ uses, expert }));
    const where = [0, 0, 0];
    for (let expert = 0; expert < count; expert++) {
      const place = places?.[at + expert] ?? 3;
      if (place < 3) where[place]!++;
    }
    const all = own.reduce((sum, { uses }) => sum + uses, 0);
    const most = own
      .filter(({ uses }) => uses > 0)
      .sort((a, b) => b.uses - a.uses)
      .slice(0, NAMED);
    return { layer: head.layers[layer]!, where, all, used: own.filter(({ uses }) => uses > 0).length, most };
  });
  return (
    <Scroll label="Experts by layer">
      <table>
        <thead>
          <tr>
            {["Layer", "GPU", "RAM", "Disk", "Uses", "Experts used", "Used most"].map((title) => (
              <th key={title} scope="col">
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ layer, where, all, used, most }) => (
            <tr key={layer}>
              <th scope="row">{layer}</th>
              <td>{where[2]}</td>
              <td>{where[1]}</td>
              <td>{where[0]}</td>
              <td>{all}</td>
              <td>{used}</td>
              <td>{most.map(({ expert, uses }) => `${expert} (${percent(uses, all)})`).join(", ")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
