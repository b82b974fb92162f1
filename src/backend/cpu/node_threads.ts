// Threads in Node: how many cores there are, and how a worker is started.

import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { groupLimits } from "./node_limits.ts";
import type { PoolWorker } from "./pool.ts";

/**
 * Threads that pay for this process: cores, because two hardware threads of one share the units
 * that kernels are bound by, and no more than the control groups' CPU quota has time for. Threads
 * wait for each other by spinning, which a quota counts.
 */
export function usableCores(): number {
  const quota = process.platform === "linux" ? groupLimits().cpus : null;
  const cores = physicalCores();
  return quota === null ? cores : Math.max(1, Math.min(cores, Math.floor(quota)));
}

/** Cores that the process may run on. */
function physicalCores(): number {
  const logical = availableParallelism();
  if (process.platform !== "linux") return logical; // nothing short of starting a program tells
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
  // Without the process's own options: a worker refuses some of them, as the --input-type of a
  // script given by -e.
  const worker = new Worker(new URL("./node_worker.js", import.meta.url), { execArgv: [] });
  return {
    post: (message) => worker.postMessage(message),
    onEnd(ended) {
      worker.on("message", (failure: string) => ended(failure));
      worker.on("error", (error) => ended(error.message));
      worker.on("exit", (code) => ended(`it ended with exit code ${code}`));
      worker.unref(); // a listener keeps the process, which a model that was never closed must not
    },
    stop: () => void worker.terminate(),
  };
}
