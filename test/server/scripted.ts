// The fake model that does what the last message says: "wait", "lost", "busy once"; anything else is answered.

import { BusyError, DeviceError } from "../../src/errors.ts";
import { type Act, type Fake, fakeModel, standard } from "./fake_model.ts";

export function scriptedModel(): Fake {
  let wasBusy = false;
  return fakeModel({
    acts(messages, options): Act[] {
      const word = messages.at(-1)?.content;
      if (word === "wait") return [{ say: "H" }, { wait: null }];
      if (word === "lost") return [{ say: "H" }, { fail: new DeviceError("device lost") }];
      if (word === "busy once" && !wasBusy) {
        wasBusy = true;
        return [{ fail: new BusyError("the queue is full") }];
      }
      return standard(messages, options);
    },
  });
}
