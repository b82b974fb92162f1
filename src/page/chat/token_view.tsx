// An answer token by token: probabilities by colour, the alternatives of the token in focus, and
// another one to go on with.

import type { JSX } from "preact";
import { memo } from "preact/compat";
import { useRef, useState } from "preact/hooks";
import type { TokenChoice, TokenShare } from "../engine.ts";
import type { Node } from "./conversation.ts";
import { chosenInstead, percent, stepOf, visible } from "./token_choice.ts";

/** Tokens that are drawn again together while an answer grows. */
const RUN = 64;

export interface TokenViewProps {
  readonly node: Node;
  /** Absent: no other token can be chosen now. */
  readonly choose?: (at: number, choice: TokenShare) => void;
}

export function TokenView({ node, choose }: TokenViewProps): JSX.Element {
  const { tokens = [], tokensFrom = 0, message } = node;
  const [active, setActive] = useState<number | null>(null);
  const [fixed, fix] = useState(false);
  const area = useRef<HTMLDivElement>(null);
  const runs = Array.from({ length: Math.ceil(tokens.length / RUN) }, (_, i) => i);
  const focusOn = (at: number): void => {
    area.current?.querySelector<HTMLElement>(`[data-at="${at}"]`)?.focus();
  };
  const indexOf = (target: EventTarget | null): number | null => {
    const at = target instanceof HTMLElement ? target.dataset.at : undefined;
    return at === undefined ? null : Number(at);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const at = indexOf(event.target);
    if (at === null) {
      if (event.key === "Escape" && active !== null) {
        event.stopPropagation();
        focusOn(active);
      }
      return;
    }
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tokens.length - 1 }[event.key];
    if (to !== undefined && to >= 0 && to < tokens.length) {
      event.preventDefault();
      focusOn(to);
    } else if (event.key === "Enter" || event.key === " " || event.key === "ArrowDown") {
      event.preventDefault();
      area.current?.querySelector<HTMLElement>(".alternatives button:not(:disabled)")?.focus();
    } else if (event.key === "Escape" && active !== null) {
      event.stopPropagation();
      setActive(null);
      fix(false);
    }
  };
  const place = active === null ? undefined : tokens[active];
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the tokens inside are the controls
    <div
      ref={area}
      class="tokens"
      onKeyDown={onKeyDown}
      onFocusCapture={(event) => {
        const at = indexOf(event.target);
        if (at !== null) setActive(at);
      }}
      onPointerOver={(event) => {
        const at = indexOf(event.target);
        if (at !== null && !fixed) setActive(at);
      }}
      onPointerLeave={() => !fixed && !area.current?.contains(document.activeElement) && setActive(null)}
      onClick={(event) => {
        const at = indexOf(event.target);
        if (at === null) return;
        setActive(at);
        fix(true);
      }}
    >
      <div class="token-text">
        {message.content.slice(0, tokensFrom)}
        {runs.map((run) => (
          <Run
            key={run}
            from={run * RUN}
            tokens={tokens}
            to={Math.min(tokens.length, (run + 1) * RUN)}
            active={active !== null && Math.floor(active / RUN) === run ? active : null}
            first={active === null && run === 0}
          />
        ))}
      </div>
      {active !== null && place !== undefined && (
        <Alternatives node={node} at={active} place={place} {...(choose && { choose })} />
      )}
      <p class="legend" aria-hidden="true">
        {["\u2265 90 %", "60 %", "30 %", "10 %", "2 %", "less"].map((text, step) => (
          <span key={text} class={`token p${step}`}>
            {text}
          </span>
        ))}
      </p>
    </div>
  );
}

interface RunProps {
  readonly tokens: readonly TokenChoice[];
  readonly from: number;
  readonly to: number;
  /** The token in focus, if it is one of these. */
  readonly active: number | null;
  /** Whether the first of them is where Tab leads to. */
  readonly first: boolean;
}

/** A run's tokens do not change once they are there. */
const Run = memo(
  ({ tokens, from, to, active, first }: RunProps) => (
    <>
      {tokens.slice(from, to).map((token, i) => {
        const at = from + i;
        const tab = at === active || (first && i === 0);
        return (
          // biome-ignore lint/a11y/useSemanticElements: a button does not break across lines
          <span
            key={at}
            role="button"
            tabIndex={tab ? 0 : -1}
            data-at={at}
            class={`token p${stepOf(token.logprob)}${at === active ? " active" : ""}`}
            aria-label={`${visible(token.text)}, ${percent(token.logprob)}`}
          >
            {token.bytes.length === 0 ? "\u25A0" : token.text}
          </span>
        );
      })}
    </>
  ),
  (before, after) =>
    before.to === after.to &&
    before.active === after.active &&
    before.first === after.first &&
    before.tokens[before.from] === after.tokens[after.from] &&
    before.tokens[before.to - 1] === after.tokens[after.to - 1],
);

interface AlternativesProps extends TokenViewProps {
  readonly at: number;
  readonly place: TokenChoice;
}

function Alternatives({ node, at, place, choose }: AlternativesProps): JSX.Element {
  const listed = place.top.some((one) => isSame(one, place)) ? place.top : [...place.top, place];
  const rest = 1 - listed.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0);
  return (
    <section class="alternatives" aria-label={`Alternatives to ${visible(place.text)}`}>
      <p>
        Token {at + 1}: <code>{visible(place.text)}</code> {percent(place.logprob)}
      </p>
      <ul>
        {listed.map((one, i) => {
          const chosen = isSame(one, place);
          const possible = !chosen && choose !== undefined && chosenInstead(node, at, one) !== null;
          return (
            <li key={i}>
              <button
                type="button"
                disabled={!possible}
                aria-current={chosen}
                title={
                  chosen
                    ? "the model's choice"
                    : possible
                      ? "go on from here with this token"
                      : "only a part of a character"
                }
                onClick={() => choose?.(at, one)}
              >
                <meter class="share" min={0} max={1} value={Math.exp(one.logprob)} aria-hidden="true" />
                <code>{visible(one.text)}</code>
                <span>{percent(one.logprob)}</span>
              </button>
            </li>
          );
        })}
      </ul>
      {rest > 0.0005 && <p class="quiet">all others: {percent(Math.log(rest))}</p>}
    </section>
  );
}

function isSame(a: TokenShare, b: TokenShare): boolean {
  return a.text === b.text && a.bytes.length === b.bytes.length;
}
