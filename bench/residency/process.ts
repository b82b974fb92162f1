// Figures of the operating system about this process and the machine.

import { readFileSync } from "node:fs";
import { freemem, loadavg } from "node:os";
import type { ProcessFigures } from "./types.ts";

/** Figures since the process started. */
export function processFigures(): ProcessFigures {
  const { userCPUTime, systemCPUTime, minorPageFault, majorPageFault, fsRead } = process.resourceUsage();
  return {
    userMs: userCPUTime / 1e3,
    systemMs: systemCPUTime / 1e3,
    minorFaults: minorPageFault,
    majorFaults: majorPageFault,
    diskBytes: 512 * fsRead,
  };
}

export function since(before: ProcessFigures): ProcessFigures {
  const now = processFigures();
  return {
    userMs: now.userMs - before.userMs,
    systemMs: now.systemMs - before.systemMs,
    minorFaults: now.minorFaults - before.minorFaults,
    majorFaults: now.majorFaults - before.majorFaults,
    diskBytes: now.diskBytes - before.diskBytes,
  };
}

/** The largest resident set so far, in bytes: by getrusage, and by /proc where there is one. */
export function peaks(): { readonly maxRssBytes: number; readonly highWaterBytes: number | null } {
  return {
    maxRssBytes: 1024 * process.resourceUsage().maxRSS,
    highWaterBytes: kilobytes("/proc/self/status", "VmHWM"),
  };
}

export interface MachineState {
  readonly loadAverage: number;
  readonly freeBytes: number;
  /** Free or in the page cache, in bytes; null if unknown. */
  readonly availableBytes: number | null;
}

export function machineState(): MachineState {
  return {
    loadAverage: loadavg()[0]!,
    freeBytes: freemem(),
    availableBytes: kilobytes("/proc/meminfo", "MemAvailable"),
  };
}

/** "VmHWM:   1234 kB" of a file, in bytes. */
function kilobytes(file: string, field: string): number | null {
  try {
    const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(readFileSync(file, "utf8"));
    return found ? 1024 * Number(found[1]) : null;
  } catch {
    return null;
  }
}
