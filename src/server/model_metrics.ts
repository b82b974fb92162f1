// The states of models that come and go, as metrics.

import { Counter, Gauge, Registry } from "prom-client";
import { MODEL_STATES, type ServedModels } from "./served.ts";

/** A registry for one scrape. */
export function modelMetrics(models: ServedModels): Registry {
  const registry = new Registry();
  const registers = [registry];
  const state = new Gauge({
    name: "hotset_model_state",
    help: "1 at the present state of each model.",
    labelNames: ["model", "state"],
    registers,
  });
  const waiting = new Gauge({
    name: "hotset_model_requests_waiting",
    help: "Requests that wait for the model to be loaded.",
    labelNames: ["model"],
    registers,
  });
  const loads = new Counter({
    name: "hotset_model_loads_total",
    help: "How often the model was begun to load.",
    labelNames: ["model"],
    registers,
  });
  for (const card of models.cards()) {
    const { id: model } = card;
    for (const one of MODEL_STATES) state.set({ model, state: one }, one === card.state ? 1 : 0);
    waiting.set({ model }, card.waiting);
    loads.inc({ model }, card.loads);
  }
  return registry;
}
