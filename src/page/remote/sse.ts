// Server-sent events from a stream of bytes.

/** Longest event in characters: a server of ours sends far less. */
const LONGEST = 2 ** 24;

/** One event; `name` is "message" where the server gives none. */
export interface ServerEvent {
  readonly name: string;
  readonly data: string;
}

/**
 * The events of a body, one after the other; comments are left out. Returning from the iteration
 * cancels the body.
 * @throws RangeError for an event of more than 16 Mi characters
 */
export async function* serverEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let pending = "";
  try {
    while (true) {
      const { done, value } = await reader.read();
      pending += decoder.decode(value, { stream: !done });
      // A carriage return at the end may be half of a line's end.
      const cut = done ? pending.length : pending.length - (pending.endsWith("\r") ? 1 : 0);
      const blocks = pending.slice(0, cut).replaceAll("\r\n", "\n").replaceAll("\r", "\n").split("\n\n");
      pending = (blocks.pop() ?? "") + pending.slice(cut);
      if (pending.length > LONGEST) throw new RangeError(`the server sent an event of more than ${LONGEST} characters`);
      for (const block of blocks) {
        const event = eventOf(block);
        if (event !== null) yield event;
      }
      if (done) return; // an event that is not ended is not whole
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function eventOf(block: string): ServerEvent | null {
  let name = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const [, field = "", value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (field === "event") name = value;
    if (field === "data") data.push(value);
  }
  return data.length === 0 ? null : { name, data: data.join("\n") };
}
