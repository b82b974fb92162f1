// An answer under way: the engine's events gathered into one node, told of once a frame.

import { noteAsked } from "../asked.ts";
import { EngineError, type Message, type PageEngine, type PageEvent, type TokenChoice, type Usage } from "../engine.ts";
import type { Ending, Node } from "./conversation.ts";
import type { Request } from "./requests.ts";
import { tokensToTheEnd, withoutEndText } from "./token_choice.ts";

/** A hidden tab has no frames. */
const HIDDEN_MS = 200;

export interface Answering {
  /** Where it begins: its text so far is continued. */
  readonly node: Node;
  readonly request: Request;
  readonly engine: PageEngine;
  readonly signal: AbortSignal;
  /** Called with the node as it is, at most once a frame. */
  readonly onChange: (node: Node) => void;
}

/** Resolves to the finished node, also where the answer failed or was stopped. */
export async function answered({ node, request, engine, signal, onChange }: Answering): Promise<Node> {
  const begun = performance.now();
  const gathered = new Gathered(node);
  let first: number | null = null;
  let failure: EngineError | null = null;
  const end = noteAsked(request.request.model, askedOf(request));
  const frames = everyFrame(() => onChange(gathered.node()));
  try {
    const events =
      request.kind === "chat" ? engine.chat(request.request, signal) : engine.complete(request.request, signal);
    for await (const event of events) {
      if (event.type !== "usage" && event.type !== "finish") first ??= performance.now();
      gathered.take(event);
      frames.soon();
    }
  } catch (error) {
    if (!signal.aborted) failure = error instanceof EngineError ? error : new EngineError(String(error));
  } finally {
    frames.end();
    end();
  }
  const ended = performance.now();
  const reason = failure !== null ? "failed" : signal.aborted ? "stopped" : (gathered.reason ?? "stop");
  return gathered.node({
    model: request.request.model,
    reason,
    ...(failure !== null && { error: failure.message, status: failure.status }),
    ...(gathered.usage !== null && { usage: gathered.usage }),
    ...(first !== null && { firstMs: Math.round(first - begun), answerMs: Math.round(ended - first) }),
  });
}

/** What a person asked: the text to go on with, or the last message of theirs. */
function askedOf({ kind, request }: Request): string {
  return kind === "text" ? request.prompt : (request.messages.findLast(({ role }) => role === "user")?.content ?? "");
}

/** The parts of an answer, put together. */
class Gathered {
  usage: Usage | null = null;
  reason: string | null = null;
  readonly #start: Node;
  #text: string;
  #reasoning: string;
  #calls: Extract<Message, { role: "assistant" }>["calls"];
  #tokens: TokenChoice[];
  readonly #tokensFrom: number;

  constructor(start: Node) {
    this.#start = start;
    const message = start.message.role === "assistant" ? start.message : null;
    this.#text = message?.content ?? "";
    this.#reasoning = message?.reasoning ?? "";
    this.#calls = message?.calls;
    const tokens = tokensToTheEnd(start);
    this.#tokens = [...tokens];
    this.#tokensFrom = tokens.length > 0 ? (start.tokensFrom ?? 0) : this.#text.length;
  }

  take(event: PageEvent): void {
    switch (event.type) {
      case "text":
        this.#text += event.text;
        if (event.tokens) this.#tokens.push(...event.tokens);
        break;
      case "reasoning":
        this.#reasoning += event.text;
        break;
      case "call":
        this.#calls = [...(this.#calls ?? []), event.call];
        break;
      case "usage":
        this.usage = event.usage;
        break;
      case "finish":
        this.reason = event.reason;
    }
  }

  node(end?: Ending): Node {
    const { id, parent, created } = this.#start;
    const said = this.#text.slice(this.#tokensFrom);
    const tokens = end ? withoutEndText(this.#tokens, said) : [...this.#tokens];
    return {
      id,
      parent,
      created,
      message: {
        role: "assistant",
        content: this.#text,
        ...(this.#reasoning !== "" && { reasoning: this.#reasoning }),
        ...(this.#calls !== undefined && { calls: this.#calls }),
      },
      ...(tokens.length > 0 && { tokens, tokensFrom: this.#tokensFrom }),
      ...(end && { end }),
    };
  }
}

/** Calls `work` in the next frame after soon(), however often soon() is called. */
function everyFrame(work: () => void): { soon(): void; end(): void } {
  let frame: number | null = null;
  let timer: ReturnType<typeof setTimeout> | null = null;
  const clear = (): void => {
    if (frame !== null) cancelAnimationFrame(frame);
    if (timer !== null) clearTimeout(timer);
    frame = timer = null;
  };
  const run = (): void => {
    clear();
    work();
  };
  return {
    soon() {
      if (frame !== null || timer !== null) return;
      frame = requestAnimationFrame(run);
      timer = setTimeout(run, HIDDEN_MS);
    },
    end: clear,
  };
}
