// The server's log on stderr: a line for each finished request, and for each change of
// the server's state.

import { pino } from "pino";
import type { RequestSummary } from "./tracked_request.ts";

export type LogFormat = "text" | "json" | "off";

export interface Log {
  request(record: RequestSummary): void;
  /** A change of the server's state: "listening", "ready", "draining", "stopped". */
  event(name: string, fields: Readonly<Record<string, string | number | null>>): void;
  /** Something that the operator should mend, in one sentence. */
  warning(message: string): void;
  /** An unexpected error: logged in every format. */
  error(error: unknown): void;
}

/** Gateways and Prometheus request these every few seconds. */
const UNLOGGED: ReadonlySet<string> = new Set(["/health", "/livez", "/readyz", "/metrics", "/"]);

/** @param write takes a line, and may drop it if the reader is slower than the server */
export function createLog(format: LogFormat, write: (line: string) => void, now = () => new Date()): Log {
  const json = pino(
    {
      base: null,
      timestamp: () => `,"time":"${now().toISOString()}"`,
      formatters: { level: (level) => ({ level }) },
    },
    { write },
  );
  const text = (...parts: readonly string[]): void => write(`${[now().toISOString(), ...parts].join(" ")}\n`);
  return {
    request(record) {
      if (format === "off" || (UNLOGGED.has(record.endpoint) && record.outcome !== "failed")) return;
      if (format === "json") json[levelOf(record)]({ event: "request", ...jsonOf(record) });
      else text(textOf(record));
    },
    event(name, fields) {
      if (format === "json") json.info({ event: name, ...fields });
      else if (format === "text") {
        text(name, ...Object.entries(fields).map(([key, value]) => `${key}=${quoted(String(value))}`));
      }
    },
    warning(message) {
      if (format === "json") json.warn({ event: "warning", message });
      else if (format === "text") text("warning", quoted(message));
    },
    error(error) {
      const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
      if (format === "json") json.error({ event: "error", message: stack });
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
    route: record.endpoint,
    model: record.model,
    client: record.client,
    forwarded_for: record.forwardedFor,
    status: record.status,
    outcome: record.outcome,
    error: errorOf(record),
    stream: record.stream,
    finish: record.finish,
    prompt_tokens: record.promptTokens,
    cached_tokens: record.cachedTokens,
    completion_tokens: record.completionTokens,
    queue_ms: rounded(record.queueMs),
    first_token_ms: rounded(record.firstTokenMs),
    duration_ms: rounded(record.ms),
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
  const error = errorOf(record);
  if (error) parts.push(quoted(error));
  return parts.join(" ");
}

/**
 * The error without what it quotes of the request, which may be a part of a prompt: quoted texts,
 * and what a chat template says. Errors of other statuses quote hosts, paths and names only.
 */
function errorOf({ status, error }: RequestSummary): string | null {
  if (error === null || (status !== 400 && status !== 422)) return error;
  return error.replace(/(?<=chat template( of [^:]*)?: ).*/s, "...").replace(/"(?:[^"\\]|\\.)*"?/g, '"..."');
}

function rounded(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms);
}

function levelOf({ outcome }: RequestSummary): "info" | "warn" | "error" {
  return outcome === "failed" ? "error" : outcome === "ok" ? "info" : "warn";
}

/**
 * The text, in quotes where it is not one word: messages may contain clients' texts, which must not
 * add lines.
 */
function quoted(text: string): string {
  return /^[\w.:/@[\]+~-]+$/.test(text) ? text : JSON.stringify(text.slice(0, 500));
}
