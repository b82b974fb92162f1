// Routing traces: the experts that each step chose, as JSON lines. Written by
// --trace, replayed later.
//
//   {"trace":1,"model":"models/tales","layers":6,"experts":8,"k":2}
//   {"tokens":3,"sequences":1,"ids":[[0,4,4,1,0,2],...,[3,7]]}
//   {"tokens":1,"sequences":1,"ids":[[4,1],...,[7,3]]}
//
// After the header, each line is a step: the number of tokens T and of sequences, and for each
// layer the experts of its rows [rows, K]. A layer has T rows; the last layer has only the rows
// whose logits were requested, possibly none.

import { RequestError } from "../errors.ts";

/** What a trace is of. */
export interface TraceHeader {
  /** The model that ran: a folder or a synthetic URL. */
  readonly model: string;
  /** L, layers with experts. */
  readonly layers: number; // L
  /** E, experts of a layer. */
  readonly experts: number; // E
  /** K, experts of a token. */
  readonly k: number; // K
}

/** The experts that a step of T tokens chose. */
export interface RouteStep {
  /** T, the tokens of the step. */
  readonly tokens: number; // T
  /** Sequences that the tokens belong to: T in a decoding step, fewer in a prompt's chunk. */
  readonly sequences: number;
  /** Experts of each layer [T, K]; in the last layer only of the R rows with logits, [R, K]. */
  readonly layers: readonly Uint32Array[];
}

export interface Trace extends TraceHeader {
  readonly steps: readonly RouteStep[];
}

/** Upper limits for the numbers of a trace. */
const MOST = { layers: 1024, experts: 4096, k: 64, tokens: 2 ** 20 } as const;

/**
 * Whether a step decodes one token of each sequence; other steps compute a prompt or part of one.
 */
export function decodes({ tokens, sequences }: RouteStep): boolean {
  return tokens === sequences;
}

/** The first line of a trace, with its newline. */
export function traceHeader({ model, layers, experts, k }: TraceHeader): string {
  return `${JSON.stringify({ trace: 1, model, layers, experts, k })}\n`;
}

/** The line of a step, with its newline. */
export function traceLine({ tokens, sequences, layers }: RouteStep): string {
  return `${JSON.stringify({ tokens, sequences, ids: layers.map((ids) => [...ids]) })}\n`;
}

/**
 * Reads a trace and checks all of it.
 * @param label names the trace in errors: the file's path
 * @throws RequestError naming the line, what was expected there and what was found
 */
export function parseTrace(text: string, label: string): Trace {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const reader = (index: number): LineReader => new LineReader(lines[index] ?? "", `${label}: line ${index + 1}`);
  const first = reader(0);
  first.whole("trace", 1, 1);
  const { model } = first.fields;
  const experts = first.whole("experts", 1, MOST.experts);
  const header = {
    model: typeof model === "string" ? model : first.fail('"model": expected a text', model),
    layers: first.whole("layers", 1, MOST.layers),
    experts,
    k: first.whole("k", 1, Math.min(experts, MOST.k)),
  };
  return { ...header, steps: lines.slice(1).map((_, i) => readStep(reader(i + 1), header)) };
}

function readStep(line: LineReader, { layers, experts, k }: TraceHeader): RouteStep {
  const tokens = line.whole("tokens", 1, MOST.tokens);
  const sequences = line.whole("sequences", 1, tokens);
  const { ids } = line.fields;
  if (!Array.isArray(ids) || ids.length !== layers) line.fail(`"ids": expected lists for ${layers} layers`, ids);
  const read = (ids as readonly unknown[]).map((found, layer): Uint32Array => {
    const where = `"ids" of layer ${layer}`;
    if (!Array.isArray(found)) return line.fail(`${where}: expected a list`, found);
    const rows = found.length / k;
    const last = layer === layers - 1;
    if (last ? !(Number.isInteger(rows) && rows <= tokens) : rows !== tokens) {
      line.fail(`${where}: expected ${k} experts for each of ${last ? "at most " : ""}${tokens} tokens`, found);
    }
    const row = new Set<number>();
    for (const [i, id] of (found as readonly unknown[]).entries()) {
      if (i % k === 0) row.clear();
      if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= experts) {
        line.fail(`${where}, number ${i}: expected an expert from 0 to ${experts - 1}`, id);
      } else if (row.has(id)) line.fail(`${where}, number ${i}: expected different experts for a token`, id);
      else row.add(id);
    }
    return Uint32Array.from(found as readonly number[]);
  });
  return { tokens, sequences, layers: read };
}

/** The fields of one line, and errors that name the line. */
class LineReader {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly #where: string;

  constructor(text: string, where: string) {
    this.#where = where;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      this.fail("expected an object of JSON (if the trace was cut short, remove its last line)", text);
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) this.fail("expected an object", value);
    this.fields = value as Readonly<Record<string, unknown>>;
  }

  whole(name: string, min: number, max: number): number {
    const value = this.fields[name];
    if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value;
    return this.fail(`"${name}": expected ${min === max ? min : `a whole number from ${min} to ${max}`}`, value);
  }

  fail(expected: string, found: unknown): never {
    const text = typeof found === "string" ? found : (JSON.stringify(found) ?? "nothing");
    const shown = text.length > 40 ? `${text.slice(0, 40)}...` : text || "nothing";
    throw new RequestError(`${this.#where}: ${expected}, found ${shown}; traces are written with --trace`);
  }
}
