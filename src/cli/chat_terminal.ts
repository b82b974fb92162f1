// The prompt of `hotset chat` on a terminal: Node's line editor, plus messages of several lines,
// pasted text and a history of messages.

import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { InputHistory } from "./chat_history.ts";
import { MAX_MESSAGE, MessageLines } from "./chat_lines.ts";
import { PASTE_OFF, PASTE_ON, splitPastes } from "./chat_paste.ts";
import { say } from "./chat_talk.ts";

export interface ChatTerminal {
  /**
   * Asks for a message; null if the user wants to end. The terminal is in raw mode only meanwhile;
   * at other times Ctrl-C sends SIGINT.
   */
  ask(): Promise<string | null>;
  /**
   * Acts as Ctrl-C at the prompt: for a signal that arrives just after the answer that
   * it should stop.
   */
  interrupt(): void;
  close(): void;
}

const PROMPT = "> ";
const GOES_ON = "… ";

export function openTerminal(history: InputHistory): ChatTerminal {
  const { stdin, stdout } = process;
  const message = new MessageLines();
  let answered: ((text: string | null) => void) | null = null; // set while a message is requested
  const waiting: string[] = []; // further messages that arrived together with the requested one
  let closed = false;
  let ending = false; // Ctrl-C was pressed at an empty prompt
  let arrows: string[] = []; // the editor's own history array, newest first

  // The editor's input. `data` events are emitted on it directly, so that keys and pastes
  // stay in order.
  const keys = Object.assign(new Readable({ read() {} }), { setRawMode: (on: boolean) => void stdin.setRawMode(on) });
  const editor = createInterface({
    input: keys,
    output: stdout,
    terminal: true,
    prompt: PROMPT,
    history: [...history.entries],
    historySize: 1000,
  });
  stdin.setEncoding("utf8"); // never splits a character
  const splitter = splitPastes(
    (typed) => keys.emit("data", typed),
    (text) => {
      // The editor cannot insert text with line ends, but can display and return a line that
      // contains them.
      const { line, cursor } = editor;
      const inserted = text.replace(/\r\n?/g, "\n").replace(/[^\P{Cc}\n\t]/gu, "");
      const edited = editor as unknown as { line: string; cursor: number };
      edited.line = line.slice(0, cursor) + inserted + line.slice(cursor);
      edited.cursor = cursor + inserted.length;
      editor.prompt(true);
    },
    MAX_MESSAGE,
  );
  const onData = (chunk: string): void => splitter.push(chunk);
  const onEnd = (): void => editor.close();

  const take = (): void => {
    stdin.on("data", onData);
    stdin.resume();
    stdin.setRawMode(true);
    stdout.write(PASTE_ON);
  };
  const leave = (): void => {
    stdin.off("data", onData);
    stdin.pause();
    stdin.setRawMode(false);
    stdout.write(PASTE_OFF);
  };
  const finish = (text: string | null): void => {
    const done = answered;
    answered = null;
    if (!done) return;
    leave();
    done(text);
  };
  const ask = (): void => {
    editor.setPrompt(message.goesOn ? GOES_ON : PROMPT);
    editor.prompt();
  };

  leave();
  stdin.on("end", onEnd);
  editor.on("history", (entries) => {
    arrows = entries;
  });
  editor.on("line", (typed) => {
    ending = false;
    const fresh = !message.goesOn;
    // Newer editors have other line ends in their history.
    const line = typed.replace(/\r\n?/g, "\n");
    let text: string | null;
    try {
      text = fresh && line.includes("\n") ? line.replace(/\n$/, "") : message.push(line);
    } catch (error) {
      say((error as Error).message);
      text = null;
    }
    if (text === null || text.trim() === "") {
      if (answered) ask();
      return;
    }
    history.add(text);
    arrows.splice(0, arrows.length, ...history.entries); // whole messages instead of lines
    if (answered) finish(text);
    else waiting.push(text);
  });
  const interrupt = (): void => {
    if (!answered) return;
    const empty = editor.line === "" && !message.goesOn;
    if (empty && ending) {
      editor.close();
      return;
    }
    ending = empty;
    message.reset();
    editor.write(null, { ctrl: true, name: "e" }); // to the end,
    editor.write(null, { ctrl: true, name: "u" }); // and delete everything before it
    if (empty) {
      stdout.write("\n");
      say("Ctrl-C once more ends the program, as Ctrl-D does");
    }
    ask();
  };
  editor.on("SIGINT", interrupt);
  editor.on("close", () => {
    closed = true;
    if (answered) stdout.write("\n");
    finish(null);
  });
  return {
    ask() {
      const next = waiting.shift();
      if (next !== undefined) {
        stdout.write(`${PROMPT}${next}\n`);
        return Promise.resolve(next);
      }
      if (closed) return Promise.resolve(null);
      return new Promise((resolve) => {
        answered = resolve;
        ending = false;
        take();
        ask();
      });
    },
    interrupt,
    close() {
      stdin.off("end", onEnd);
      editor.close();
    },
  };
}
