// Threads in Node: counts cores and starts workers.

import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { groupLimits } from "./node_limits.ts";
import type { PoolWorker } from "./pool.ts";

/**
 * The useful number of threads: physical cores, because two hardware threads of a core share the
 * units that limit kernels, and at most the CPU quota of the control groups. Threads wait by
 * spinning, which counts against a quota.
 */
export function usableCores(): number {
  const quota = process.platform === "linux" ? groupLimits().cpus : null;
  const cores = physicalCores();
  return quota === null ? cores : Math.max(1, Math.min(cores, Math.floor(quota)));
}

/** Cores that the process may run on. */
function physicalCores(): number {
  const logical = availableParallelism();
  if (process.platform !== "linux") return logical; // only another program could tell
  try {
    const folder = "/sys/devices/system/cpu";
    const names = readdirSync(folder).filter((name) => /^cpu\d+$/.test(name));
    const cores = new Set(
      names.map((name) => readFileSync(`${folder}/${name}/topology/thread_siblings_list`, "utf8").trim()),
    );
    return Math.max(1, Math.min(logical, cores.size));
  } catch {
    return logical;
  }
}

export function startNodeWorker(): PoolWorker {
  // Without the process's own options: a worker rejects some of them, such as --input-type of a
  // script given by -e.
  const worker = new Worker(new URL("./node_worker.js", import.meta.url), { execArgv: [] });
  return {
    post: (message) => worker.postMessage(message),
    onEnd(ended) {
      worker.on("message", (failure: string) => ended(failure));
      worker.on("error", (error) => ended(error.message));
      worker.on("exit", (code) => ended(`it ended with exit code ${code}`));
      worker.unref(); // a listener would keep the process alive if the model is never closed
    },
    stop: () => void worker.terminate(),
  };
}
