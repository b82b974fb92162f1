// The server's log on stderr: a line for each request when it is over, and for each step in the server's life.

import type { CallRecord } from "./calls.ts";

export type LogFormat = "text" | "json" | "off";

export interface Log {
  request(record: CallRecord): void;
  /** Something that happened to the server: "listening", "ready", "draining", "stopped". */
  event(name: string, fields: Readonly<Record<string, string | number | null>>): void;
  /** An error that nobody expected; told whatever the format. */
  error(error: unknown): void;
}

/** Asked every few seconds by gateways and Prometheus. */
const UNLOGGED: ReadonlySet<string> = new Set(["/health", "/livez", "/readyz", "/metrics", "/"]);

/** @param write takes a line; it may drop it where the reader is slower than the server */
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

/** Fields as log pipelines spell them. */
function jsonOf(record: CallRecord): object {
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

function textOf(record: CallRecord): string {
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

function levelOf({ outcome }: CallRecord): string {
  return outcome === "failed" ? "error" : outcome === "ok" ? "info" : "warn";
}

/** As it is, or in quotes where it would not be one word: messages hold texts of others, which must not make lines. */
function quoted(text: string): string {
  return /^[\w.:/@[\]+~-]+$/.test(text) ? text : JSON.stringify(text.slice(0, 500));
}
