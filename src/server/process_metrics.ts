// The usual process metrics of Prometheus: start time, CPU time, memory, and the lag of
// the event loop.

import { monitorEventLoopDelay } from "node:perf_hooks";
import { metric } from "./histogram.ts";

export interface ProcessMetrics {
  text(): string;
  close(): void;
}

/** How often the lag of the event loop is sampled. */
const RESOLUTION_MS = 10;

export function createProcessMetrics(): ProcessMetrics {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  const started = Date.now() / 1000 - process.uptime();
  return {
    text() {
      const { user, system } = process.cpuUsage();
      // The monitor measures the time between two samples; each scrape resets it.
      const late = (ns: number): number => Math.max(0, ns / 1e9 - RESOLUTION_MS / 1000);
      const seen = delays.count > 0;
      const p50 = seen ? late(delays.percentile(50)) : 0;
      const p99 = seen ? late(delays.percentile(99)) : 0;
      const max = seen ? late(delays.max) : 0;
      delays.reset();
      return [
        metric("process_start_time_seconds", "gauge", "Start of the process, in seconds since 1970.", started),
        metric("process_cpu_seconds_total", "counter", "CPU time of all threads.", (user + system) / 1e6),
        metric("process_resident_memory_bytes", "gauge", "Memory that is in RAM.", process.memoryUsage.rss()),
        metric("nodejs_eventloop_lag_p50_seconds", "gauge", "Median lag of the event loop since the last scrape.", p50),
        metric("nodejs_eventloop_lag_p99_seconds", "gauge", "99th percentile of the lag.", p99),
        metric("nodejs_eventloop_lag_max_seconds", "gauge", "Longest lag.", max),
      ].join("");
    },
    close: () => void delays.disable(),
  };
}
