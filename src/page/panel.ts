// What a panel is, and what it is given.

import type { ComponentType } from "preact";
import type { ModelFacts, PageEngine } from "./engine.ts";

export interface PanelProps {
  readonly engine: PageEngine;
  /** The chosen model; null where there is none. */
  readonly model: ModelFacts | null;
  readonly models: readonly ModelFacts[];
  /** Whether the panel is in view. A hidden panel keeps its state, and should ask for nothing. */
  readonly shown: boolean;
  /** Reads the models again: one was loaded, or unloaded. */
  readonly refresh: () => void;
}

export interface Panel {
  readonly id: string;
  readonly title: string;
  /** Whether the engine can fill it. */
  readonly fits: (engine: PageEngine) => boolean;
  readonly View: ComponentType<PanelProps>;
}
