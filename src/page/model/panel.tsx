// What is known of the chosen model.

import type { JSX } from "preact";
import type { PanelProps } from "../panel.ts";

export function ModelPanel({ model }: PanelProps): JSX.Element {
  if (model === null) return <p class="empty">There is no model.</p>;
  return (
    <div class="facts">
      <h2>{model.id}</h2>
      <dl>
        <dt>State</dt>
        <dd>{model.state}</dd>
        <dt>Context</dt>
        <dd>{model.context === undefined ? "not known" : `${model.context.toLocaleString("en")} tokens`}</dd>
      </dl>
    </div>
  );
}
