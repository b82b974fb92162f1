// The panels of the page, in the order of their tabs.

import { ChatPanel } from "./chat/panel.tsx";
import { ModelPanel } from "./model/panel.tsx";
import type { Panel } from "./panel.ts";

export const PANELS: readonly Panel[] = [
  { id: "chat", title: "Chat", fits: () => true, View: ChatPanel },
  { id: "model", title: "Model", fits: () => true, View: ModelPanel },
];
