// The chat: a conversation with the chosen model.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { EngineError, type Message } from "../engine.ts";
import type { PanelProps } from "../panel.ts";

export function ChatPanel({ engine, model }: PanelProps): JSX.Element {
  const [messages, setMessages] = useState<readonly Message[]>([]);
  const [text, setText] = useState("");
  const [stop, setStop] = useState<AbortController | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const send = async (): Promise<void> => {
    if (model === null || text.trim() === "") return;
    const asked: Message[] = [...messages, { role: "user", content: text }];
    const controller = new AbortController();
    setText("");
    setFailure(null);
    setStop(controller);
    setMessages(asked);
    let answer = "";
    try {
      for await (const event of engine.chat({ model: model.id, messages: asked, sampling: {} }, controller.signal)) {
        if (event.type === "text") answer += event.text;
        setMessages([...asked, { role: "assistant", content: answer }]);
      }
    } catch (error) {
      if (!controller.signal.aborted) setFailure(error instanceof EngineError ? error.message : String(error));
    }
    setStop(null);
  };
  return (
    <div class="chat">
      <div class="thread">
        {messages.map(({ role, content }, i) => (
          <div key={i} class={`message ${role}`}>
            {content}
          </div>
        ))}
        {failure !== null && (
          <p class="failure" role="alert">
            {failure}
          </p>
        )}
      </div>
      <form
        class="composer"
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <textarea
          aria-label="Message"
          rows={2}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            void send();
          }}
        />
        {stop === null ? (
          <button type="submit" class="primary">
            Send
          </button>
        ) : (
          <button type="button" onClick={() => stop.abort()}>
            Stop
          </button>
        )}
      </form>
    </div>
  );
}
