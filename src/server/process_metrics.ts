// The usual metrics of a Node process: memory, CPU time, garbage collection, open files, and the
// lag of the event loop.

import { collectDefaultMetrics, Registry } from "prom-client";

/**
 * Gauges that end in _total, which Prometheus' linter rejects, and figures of the lag that are not
 * numbers where there was none since the last scrape.
 */
const LEFT_OUT = [
  ...["nodejs_active_resources_total", "nodejs_active_handles_total", "nodejs_active_requests_total"],
  ...["nodejs_eventloop_lag_min_seconds", "nodejs_eventloop_lag_mean_seconds", "nodejs_eventloop_lag_stddev_seconds"],
];

let registry: Registry | null = null;

/** One for the process, because its monitors, which the first call starts, cannot be stopped. */
export function processMetrics(): Registry {
  if (registry) return registry;
  registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of LEFT_OUT) registry.removeSingleMetric(name);
  return registry;
}
