// --trace <file>: writes the experts of each step while the steps are computed.

import { appendFileSync, closeSync, openSync } from "node:fs";
import type { RouteStep } from "../engine/api.ts";
import { type Model, RequestError, traceHeader, traceLine } from "../index.ts";

export interface TraceFile {
  readonly onRoutes: (step: RouteStep) => void;
  /** Writes the header. Call it before the first step. */
  begin(label: string, model: Model): void;
  close(): void;
}

/**
 * Creates the file at once, so that a path that cannot be written is found before the weights are
 * loaded. Each line is written when its step ends, so the file always has whole lines.
 * @throws RequestError if it cannot be written, now or later
 */
export function createTraceFile(path: string): TraceFile {
  const attempt = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw new RequestError(`--trace: ${path} cannot be written: ${(error as Error).message}`);
    }
  };
  const file = attempt(() => openSync(path, "w"));
  const append = (line: string): void => attempt(() => appendFileSync(file, line));
  return {
    onRoutes: (step) => append(traceLine(step)),
    begin(label, { architecture }) {
      const routers = architecture.layers.flatMap((layer) => layer.experts ?? []);
      const { count: experts, perToken: k } = routers[0]!; // a model that opens has one
      append(traceHeader({ model: label, layers: routers.length, experts, k }));
    },
    close: () => closeSync(file),
  };
}
