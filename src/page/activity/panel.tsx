// The Activity panel: what the server did in an hour, a day or thirty days.

import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { PageEngine } from "../engine.ts";
import type { Activity, Figures, Span } from "../live.ts";
import { SPANS } from "../live.ts";
import type { PanelProps } from "../panel.ts";
import { Scroll } from "../scroll.tsx";
import { Chart } from "./chart.tsx";
import { countText, durationText, errorsOf, errorText, tokensOf } from "./text.ts";

const TITLES: Readonly<Record<Span, string>> = { hour: "Hour", day: "Day", "30d": "30 days" };
/** How often it is read again while it is in view. */
const AGAIN_MS = 5000;

export function ActivityPanel({ engine, shown }: PanelProps): JSX.Element | null {
  const [span, setSpan] = useState<Span>("hour");
  const { activity, counted, failure } = useActivity(engine, span, shown);
  if (!shown) return null;
  if (!counted) return <p class="empty">This server counts no activity: it runs with --no-activity.</p>;
  return (
    <div class="activity">
      <fieldset class="row spans">
        <legend class="hidden">Time</legend>
        {SPANS.map((one) => (
          <label key={one}>
            <input type="radio" name="span" value={one} checked={one === span} onChange={() => setSpan(one)} />
            {TITLES[one]}
          </label>
        ))}
      </fieldset>
      {failure !== null && (
        <p class="failure" role="alert">
          {failure}
        </p>
      )}
      {activity === null ? failure === null && <p class="empty">Reading.</p> : <Found activity={activity} />}
    </div>
  );
}

function useActivity(engine: PageEngine, span: Span, shown: boolean) {
  const [activity, setActivity] = useState<Activity | null>(null);
  const [counted, setCounted] = useState(true);
  const [failure, setFailure] = useState<string | null>(null);
  useEffect(() => {
    if (!shown || !engine.activity) return;
    const leave = new AbortController();
    const read = async (): Promise<void> => {
      try {
        const found = await engine.activity!(span, leave.signal);
        setActivity(found);
        setCounted(found !== null);
        setFailure(null);
      } catch (error) {
        if (!leave.signal.aborted) setFailure(error instanceof Error ? error.message : String(error));
      }
    };
    void read();
    const timer = setInterval(() => void read(), AGAIN_MS);
    return () => {
      clearInterval(timer);
      leave.abort();
    };
  }, [engine, span, shown]);
  return { activity: activity?.span === span ? activity : null, counted, failure };
}

function Found({ activity }: { readonly activity: Activity }): JSX.Element {
  const { all, steps, from, step, models, keys, kept } = activity;
  const charts = useMemo(() => {
    const times = steps.map((_, i) => (from + i * step) / 1000);
    const line = (name: string, color: string, of: (one: Figures) => number | null) => ({
      ...{ name, color },
      values: steps.map(of),
    });
    return {
      times,
      tokens: [
        line("answers", "--chart-1", ({ completionTokens }) => completionTokens),
        line("prompts", "--chart-2", ({ promptTokens, cachedTokens }) => promptTokens - cachedTokens),
        line("prompts, cached", "--chart-3", ({ cachedTokens }) => cachedTokens),
      ],
      requests: [
        line("errors", "--bad", errorsOf),
        line("answered", "--chart-1", (one) => one.requests - errorsOf(one)),
      ],
      latency: [
        line("first token, median", "--chart-1", ({ first }) => first?.median ?? null),
        line("first token, 95 % below", "--chart-2", ({ first }) => first?.p95 ?? null),
        line("whole answer, median", "--chart-3", ({ total }) => total?.median ?? null),
      ],
    };
  }, [activity]);
  return (
    <>
      <dl class="totals">
        <Total name="Requests" value={countText(all.requests)} />
        <Total name="Tokens in" value={countText(all.promptTokens)} more={`${countText(all.cachedTokens)} cached`} />
        <Total name="Tokens out" value={countText(all.completionTokens)} />
        <Total
          name="First token"
          value={durationText(all.first?.median)}
          more={`95 %: ${durationText(all.first?.p95)}`}
        />
        <Total
          name="Whole answer"
          value={durationText(all.total?.median)}
          more={`95 %: ${durationText(all.total?.p95)}`}
        />
        <Total name="Errors" value={countText(errorsOf(all))} />
        <Total name="Uptime" value={`${(100 * all.up).toFixed(1)} %`} more="since it first ran" />
      </dl>
      <div class="charts">
        <Chart title="Tokens" span={activity.span} times={charts.times} lines={charts.tokens} format={countText} bars />
        <Chart
          title="Requests"
          span={activity.span}
          times={charts.times}
          lines={charts.requests}
          format={countText}
          bars
        />
        <Chart title="Latency" span={activity.span} times={charts.times} lines={charts.latency} format={durationText} />
      </div>
      <Uptime steps={steps} />
      {Object.keys(all.errors).length > 0 && (
        <section aria-label="Errors by kind">
          <h2>Errors by kind</h2>
          <ul>
            {Object.entries(all.errors).map(([status, count]) => (
              <li key={status}>{`${errorText(status)}: ${countText(count)}`}</li>
            ))}
          </ul>
        </section>
      )}
      <Groups title="By model" what="Model" rows={models} none="none" />
      <Groups title="By key" what="Key" rows={keys} none="without a key" />
      <p class="quiet">
        {kept ? "Kept for 32 days on the server." : "Not kept: the counts are of this run of the server."} Nothing of
        what was said is counted. A key is known by the first six digits of its SHA-256.
      </p>
    </>
  );
}

interface TotalProps {
  readonly name: string;
  readonly value: string;
  readonly more?: string;
}

function Total({ name, value, more }: TotalProps): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {value} {more !== undefined && <small class="quiet">{more}</small>}
      </dd>
    </div>
  );
}

function Uptime({ steps }: Pick<Activity, "steps">): JSX.Element {
  return (
    <figure class="chart">
      <figcaption>Uptime</figcaption>
      <div class="uptime" aria-hidden="true">
        {steps.map(({ up }, i) => (
          <span key={i} class={up >= 0.99 ? "up" : up > 0 ? "partly" : "down"} />
        ))}
      </div>
    </figure>
  );
}

interface GroupsProps {
  readonly title: string;
  readonly what: string;
  readonly rows: readonly (Figures & { readonly name: string | null })[];
  readonly none: string;
}

function Groups({ title, what, rows, none }: GroupsProps): JSX.Element | null {
  if (rows.length === 0) return null;
  const titles = [what, "Requests", "Tokens in", "Tokens out", "First token", "Whole answer", "Errors"];
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      <Scroll label={`${title}, as a table`}>
        <table>
          <thead>
            <tr>
              {titles.map((one) => (
                <th key={one} scope="col">
                  {one}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.name ?? ""}>
                <th scope="row">{row.name ?? none}</th>
                <td>{countText(row.requests)}</td>
                <td>{countText(tokensOf(row))}</td>
                <td>{countText(row.completionTokens)}</td>
                <td>{durationText(row.first?.median)}</td>
                <td>{durationText(row.total?.median)}</td>
                <td>{countText(errorsOf(row))}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}
