// The fake model that does what the last message says: "wait", "held", "lost", "busy once";
// anything else is answered.

import { BusyError, DeviceError } from "../../src/errors.ts";
import { type Act, type Fake, fakeModel, standard } from "./fake_model.ts";

/** @param released when answers to "held" may go on */
export function scriptedModel(released: Promise<void> | null = null): Fake {
  let wasBusy = false;
  return fakeModel({
    acts(messages, options): Act[] {
      const word = messages.at(-1)?.content;
      if (word === "wait") return [{ say: "H" }, { wait: null }];
      if (word === "held") return [{ say: "H" }, { wait: released }, { say: "i" }];
      if (word === "lost") return [{ say: "H" }, { fail: new DeviceError("device lost") }];
      if (word === "busy once" && !wasBusy) {
        wasBusy = true;
        return [{ fail: new BusyError("the queue is full") }];
      }
      return standard(messages, options);
    },
  });
}
