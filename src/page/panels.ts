// The panels of the page, in the order of their tabs.

import { ActivityPanel } from "./activity/panel.tsx";
import { ChatPanel } from "./chat/panel.tsx";
import { ExpertsPanel } from "./experts/panel.tsx";
import { ModelPanel } from "./model/panel.tsx";
import type { Panel } from "./panel.ts";

export const PANELS: readonly Panel[] = [
  { id: "chat", title: "Chat", fits: () => true, View: ChatPanel },
  { id: "experts", title: "Experts", fits: (engine) => engine.experts !== undefined, View: ExpertsPanel },
  { id: "activity", title: "Activity", fits: (engine) => engine.activity !== undefined, View: ActivityPanel },
  { id: "model", title: "Model", fits: () => true, View: ModelPanel },
];
