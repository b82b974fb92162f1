// Numbers of the Activity panel as texts.

import type { Figures } from "../live.ts";

export function countText(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)} G`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  return value >= 1e4 ? `${(value / 1e3).toFixed(value >= 1e5 ? 0 : 1)} k` : value.toLocaleString("en");
}

/** @param ms undefined: none was measured */
export function durationText(ms: number | undefined): string {
  if (ms === undefined) return "\u2013";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  return `${(ms / 60_000).toFixed(1)} min`;
}

export const errorsOf = ({ errors }: Pick<Figures, "errors">): number =>
  Object.values(errors).reduce((sum, count) => sum + count, 0);

export const tokensOf = ({ promptTokens }: Figures): number => promptTokens;

/** What the server means by a status. */
const KINDS: Readonly<Record<string, string>> = {
  400: "wrong request",
  401: "no key, or a wrong one",
  403: "not allowed",
  404: "no such model",
  409: "not possible now",
  413: "request too large",
  415: "not JSON",
  499: "the client left",
  500: "failed",
  503: "busy, loading or shutting down",
  507: "out of memory",
};

export function errorText(status: string): string {
  const kind = KINDS[status];
  return kind === undefined ? `status ${status}` : `${kind} (${status})`;
}
