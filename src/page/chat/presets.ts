// The presets that a person has kept, in local storage.

import { PARAMETERS } from "../engine.ts";
import { createStore, useStore } from "../store.ts";
import type { Preset } from "./settings.ts";

const KEPT = "hotset.presets";
const MOST = 100;

const kept = createStore<readonly Preset[]>(read());

export function usePresets() {
  const presets = useStore(kept);
  const set = (next: readonly Preset[]): void => {
    kept.set(next);
    try {
      localStorage.setItem(KEPT, JSON.stringify(next));
    } catch {} // the browser keeps nothing, or is full: they stay as long as the page
  };
  return {
    presets,
    /** Keeps a preset, in place of one of the same name. */
    keep: (preset: Preset) => set([...presets.filter(({ name }) => name !== preset.name), preset].slice(-MOST)),
    drop: (name: string) => set(presets.filter((preset) => preset.name !== name)),
  };
}

function read(): readonly Preset[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    if (!Array.isArray(found)) return [];
    return found.slice(0, MOST).flatMap((one: Partial<Record<keyof Preset, unknown>> | null): Preset[] => {
      if (typeof one?.name !== "string" || typeof one.system !== "string") return [];
      const given = (one.sampling ?? {}) as Record<string, unknown>;
      const known = PARAMETERS.filter((name) => Number.isFinite(given[name]));
      const sampling = Object.fromEntries(known.map((name) => [name, given[name] as number]));
      return [{ name: one.name, system: one.system, sampling }];
    });
  } catch {
    return [];
  }
}
