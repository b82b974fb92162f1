// Both sides as processes: `hotset bench` and llama.cpp through node-llama-cpp.

import { fileURLToPath } from "node:url";
import type { BenchReport } from "../../src/cli/bench.ts";
import { cachedGguf } from "./cache.ts";
import { runNode } from "./children.ts";
import type { PeerPackage } from "./packages.ts";
import type { Sample, Sides } from "./types.ts";

/** The sides of one model; `path` as for `hotset bench`. */
export async function processSides(root: URL, found: PeerPackage, path: string): Promise<Sides> {
  const gguf = await cachedGguf(root, path);
  const at = (file: string): string => fileURLToPath(new URL(file, root));
  return {
    async ours({ promptTokens, decodeTokens, repeats, seed, threads }) {
      const report = (await runNode(root, at("dist/src/cli/main.js"), [
        ...["bench", path, "--backend", "cpu", "--weights", "q4", "--json"],
        ...["--threads", `${threads}`],
        ...["--prompt-tokens", `${promptTokens}`],
        ...["--decode-tokens", `${decodeTokens}`],
        ...["--repeats", `${repeats}`],
        ...["--seed", `${seed}`],
      ])) as BenchReport;
      const { samples, loadMs, peakRssBytes, backend } = report;
      return { ...samples, loadMs, peakRssBytes, engine: JSON.stringify(backend) };
    },
    async peer(work) {
      const argument = JSON.stringify({ package: found.folder, gguf, work });
      return (await runNode(root, at("dist/bench/peers/llama_cpp.js"), [argument])) as Sample;
    },
  };
}
