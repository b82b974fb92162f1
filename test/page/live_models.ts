// Models whose experts the test sets to work: what the tests of the page's live panels share.

import type { ChatModel } from "../../src/engine/chat_api.ts";
import type { ModelView } from "../../src/engine/model_view.ts";
import type { RouteListener } from "../../src/engine/route_watch.ts";
import type { ExpertStats } from "../../src/experts/stats.ts";
import { fakeModel } from "../server/fake_model.ts";

export interface Size {
  readonly layers: number;
  readonly experts: number;
  readonly perToken: number;
  /** Experts of each layer on the GPU, and further ones in RAM. */
  readonly onGpu: number;
  readonly inRam: number;
}

export interface WorkingModel {
  readonly model: ChatModel;
  /** One token of an answer, whose experts begin at `first`; of a prompt's `tokens` otherwise. */
  step(first: number, tokens?: number): void;
  watchers(): number;
}

export function workingModel(name: string, size: Size): WorkingModel {
  const { layers, experts, perToken, onGpu, inRam } = size;
  const listeners = new Set<RouteListener>();
  let steps = 0;
  const stats = (): { experts: ExpertStats; memory: object } => {
    const layer = (from: number, count: number) => ({
      ...{ routed: 8 * steps, hits: 6 * steps, misses: 2 * steps, admissions: 0 },
      residents: Array.from({ length: count }, (_, i) => (from + i) % experts),
    });
    const all = (from: number, count: number) => Array.from({ length: layers }, (_, i) => layer(from + 3 * i, count));
    const bytes = { demand: 2e6 * steps, admission: 0, prefetch: 0, wasted: 0 };
    return {
      memory: { weights: 6e9, kv: 5e8, scratch: 1e8 },
      experts: {
        experts,
        recordBytes: 1e6,
        main: { slots: onGpu, layers: all(0, onGpu), bytes },
        ram: { slots: inRam, layers: all(onGpu, inRam), bytes },
        packed: null,
        ms: { stall: 3 * steps, sync: 9 * steps, upload: 2 * steps, disk: 4 * steps, hostCompute: 4 * steps },
      },
    };
  };
  const view = {
    facts: {
      ...{ family: "qwen3_moe", parameters: { total: 30.5e9, active: 3.3e9 }, context: 8192, trainedContext: 262144 },
      ...{ layers, sparseLayers: layers, experts, perToken, vocabulary: 151936, weights: "q4_k (with q6_k)" },
      ...{ repacked: null, kv: "f16", tokenizer: 151669, chat: "tokenizer_config.json", loadMs: 4321 },
      backend: { backend: "webgpu", device: "A GPU", software: false, threads: 1, features: [] },
    },
    head: {
      layers: Array.from({ length: layers }, (_, i) => i),
      experts: Array.from({ length: layers }, () => experts),
      ...{ perToken, main: "gpu", recordBytes: 1e6, slots: onGpu },
    },
    stats,
    watchRoutes(listener: RouteListener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  } as unknown as ModelView;
  return {
    model: { ...fakeModel(), name, view },
    watchers: () => listeners.size,
    step(first, tokens = 1) {
      steps++;
      const ids = Array.from({ length: layers }, (_, layer) =>
        Uint32Array.from({ length: tokens * perToken }, (_, i) => (first + layer * 7 + i * 5) % experts),
      );
      for (const listener of listeners) listener.step({ tokens, sequences: 1, layers: ids, ms: 30 });
    },
  };
}
