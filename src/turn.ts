// One turn of the event loop: what computes for long lets timers, signals, sockets and a page's
// input go first.

/** Resolvers in order of their messages. */
const waiting: (() => void)[] = [];
let channel: MessageChannel | null = null;

/** Resolves after what the event loop has to do now. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") {
      setImmediate(resolve);
      return;
    }
    // In a page a message to oneself: setTimeout(0), called again and again, waits for four
    // milliseconds each time.
    if (channel === null) {
      channel = new MessageChannel();
      channel.port1.onmessage = () => waiting.shift()?.();
    }
    waiting.push(resolve);
    channel.port2.postMessage(null);
  });
}
