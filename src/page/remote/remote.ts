// The engine behind the server that served the page.

import { EngineError, type PageEngine, type PageEvent } from "../engine.ts";
import { chatBody, completionBody } from "./bodies.ts";
import { createHttp, type KeyRing, messageIn } from "./http.ts";
import { activityIn, expertsEvent } from "./live.ts";
import { chatEvents, completionEvents, factsOf, fields, list, rulesOf } from "./reading.ts";
import { serverEvents } from "./sse.ts";

/** @param base the page's own address, under which the server's paths are */
export function remoteEngine(base: string, keys: KeyRing): PageEngine {
  const http = createHttp(base, keys);

  async function* streamed(
    path: string,
    body: object,
    signal: AbortSignal,
    read: (chunk: unknown) => PageEvent[],
  ): AsyncGenerator<PageEvent> {
    const json = { ...body, stream: true, stream_options: { include_usage: true } };
    const response = await http.send(path, { json, signal });
    if (response.body === null) throw new EngineError("the server sent no answer", response.status);
    try {
      for await (const { data } of serverEvents(response.body)) {
        if (data === "[DONE]") return;
        const failure = messageIn(data);
        if (failure !== null) throw new EngineError(failure, response.status);
        yield* read(JSON.parse(data));
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof EngineError) throw error;
      throw new EngineError(`the answer broke off: ${(error as Error).message}`, response.status);
    }
    throw new EngineError("the answer broke off: the server closed the connection", response.status);
  }

  return {
    kind: "server",
    url: http.url,
    async models(signal) {
      const { models } = fields(await http.json("hotset/models", signal ? { signal } : {}));
      return list(models).map(factsOf);
    },
    async load(id, signal) {
      await http.json("hotset/models/load", { json: { model: id }, ...(signal && { signal }) });
    },
    async unload(id) {
      await http.json("hotset/models/unload", { json: { model: id } });
    },
    async *experts(id, signal) {
      const response = await http.send(`hotset/experts?model=${encodeURIComponent(id)}`, { signal });
      if (response.body === null) throw new EngineError("the server sent no answer", response.status);
      for await (const { name, data } of serverEvents(response.body)) {
        const failure = messageIn(data);
        if (failure !== null) throw new EngineError(failure, 501);
        const event = expertsEvent(name, JSON.parse(data));
        if (event !== null) yield event;
      }
    },
    async activity(span, signal) {
      return activityIn(await http.json(`hotset/activity?span=${span}`, signal ? { signal } : {}), span);
    },
    async parameters(id, signal) {
      const path = `hotset/parameters?model=${encodeURIComponent(id)}`;
      return rulesOf(await http.json(path, signal ? { signal } : {}));
    },
    chat: (request, signal) => streamed("v1/chat/completions", chatBody(request), signal, chatEvents),
    complete: (request, signal) => streamed("v1/completions", completionBody(request), signal, completionEvents),
  };
}
