// The server's log on stderr: a line for each finished request, and for each change of
// the server's state.

import type { RequestSummary } from "./tracked_request.ts";

export type LogFormat = "text" | "json" | "off";

export interface Log {
  request(record: RequestSummary): void;
  /** A change of the server's state: "listening", "ready", "draining", "stopped". */
  event(name: string, fields: Readonly<Record<string, string | number | null>>): void;
  /** An unexpected error: logged in every format. */
  error(error: unknown): void;
}

/** Gateways and Prometheus request these every few seconds. */
const UNLOGGED: ReadonlySet<string> = new Set(["/health", "/livez", "/readyz", "/metrics", "/"]);

/** @param write takes a line, and may drop it if the reader is slower than the server */
export function createLog(format: LogFormat, write: (line: string) => void, now = () => new Date()): Log {
  const json = (fields: object): void => write(`${JSON.stringify({ time: now().toISOString(), ...fields })}\n`);
  const text = (...parts: readonly string[]): void => write(`${[now().toISOString(), ...parts].join(" ")}\n`);
  return {
    request(record) {
      if (format === "off" || (UNLOGGED.has(record.endpoint) && record.outcome !== "failed")) return;
      if (format === "json") json({ level: levelOf(record), event: "request", ...jsonOf(record) });
      else text(textOf(record));
    },
    event(name, fields) {
      if (format === "json") json({ level: "info", event: name, ...fields });
      else if (format === "text") {
        text(name, ...Object.entries(fields).map(([key, value]) => `${key}=${quoted(String(value))}`));
      }
    },
    error(error) {
      const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
      if (format === "json") json({ level: "error", event: "error", message: stack });
      else write(`hotset: ${stack}\n`);
    },
  };
}

/** The fields with the names that log pipelines use. */
function jsonOf(record: RequestSummary): object {
  return {
    request_id: record.id,
    trace_id: record.traceId,
    method: record.method,
    path: record.path,
    client: record.client,
    forwarded_for: record.forwardedFor,
    status: record.status,
    outcome: record.outcome,
    error: record.error,
    stream: record.stream,
    finish: record.finish,
    prompt_tokens: record.promptTokens,
    cached_tokens: record.cachedTokens,
    completion_tokens: record.completionTokens,
    first_token_ms: record.firstTokenMs === null ? null : Math.round(record.firstTokenMs),
    duration_ms: Math.round(record.ms),
  };
}

function textOf(record: RequestSummary): string {
  const { method, path, status, outcome, promptTokens, cachedTokens, completionTokens, firstTokenMs } = record;
  const parts = [method, path, String(status), outcome];
  if (record.finish.length > 0) parts.push(`finish=${[...new Set(record.finish)].join(",")}`);
  if (promptTokens + completionTokens > 0) {
    parts.push(`tokens=${promptTokens}+${completionTokens}`);
    if (cachedTokens > 0) parts.push(`cached=${cachedTokens}`);
  }
  if (firstTokenMs !== null) parts.push(`first=${Math.round(firstTokenMs)}ms`);
  parts.push(
    `${Math.round(record.ms)}ms`,
    `client=${record.forwardedFor ? quoted(record.forwardedFor) : record.client}`,
  );
  if (record.traceId) parts.push(`trace=${record.traceId}`);
  parts.push(`id=${record.id}`);
  if (record.error) parts.push(quoted(record.error));
  return parts.join(" ");
}

function levelOf({ outcome }: RequestSummary): string {
  return outcome === "failed" ? "error" : outcome === "ok" ? "info" : "warn";
}

/**
 * The text, in quotes where it is not one word: messages may contain clients' texts, which must not
 * add lines.
 */
function quoted(text: string): string {
  return /^[\w.:/@[\]+~-]+$/.test(text) ? text : JSON.stringify(text.slice(0, 500));
}
