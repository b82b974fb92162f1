// One model on WebGPU with fewer slots than experts, decoded with every way to handle the missing
// ones, and with all of them on the device for comparison.

import { FORMATS } from "../../kernels/formats/index.ts";
import { createCpuExperts } from "../../src/backend/cpu/cpu.ts";
import { startNodeWorker, usableCores } from "../../src/backend/cpu/node_threads.ts";
import { enableWasmFeatures } from "../../src/backend/cpu/node_wasm.ts";
import { calibrate } from "../../src/experts/calibrate.ts";
import { CLOCK } from "../../src/experts/clock.ts";
import { Costs, type Rates } from "../../src/experts/costs.ts";
import type { CounterValues } from "../../src/experts/counters.ts";
import { DeviceTier, type DeviceTierOptions } from "../../src/experts/device_tier.ts";
import { Ewma } from "../../src/experts/ewma.ts";
import { layerPrediction } from "../../src/experts/prediction.ts";
import { RamTier } from "../../src/experts/ram_tier.ts";
import { recordReader } from "../../src/experts/record_reader.ts";
import type { Decoder } from "../../src/model/decoder.ts";
import { type Architecture, routingOf } from "../../src/model/family.ts";
import { expertShape, keep } from "../../src/model/formats.ts";
import { openSteps } from "../node_steps.ts";
import { openWeights } from "../weights.ts";

export interface WaysOptions {
  readonly model: string;
  readonly slots: number;
  readonly adapter?: string | undefined;
  readonly threads?: number | undefined;
}

/** A way to decode: its own slots' contents, policy and costs. */
export interface WayModel {
  readonly name: string;
  /** Decodes from position 0 on. */
  decode(tokens: number): Promise<void>;
  /** Evicts all experts and resets the policy. */
  clear(): void;
  counters(): CounterValues | null;
  /** The current rates of the cost model. */
  costs(): Costs | null;
}

export interface Ways {
  readonly backend: { readonly device: string; readonly software: boolean };
  readonly architecture: Architecture;
  readonly recordBytes: number;
  readonly threads: number;
  readonly loadMs: number;
  /** The measured initial rates. */
  readonly rates: Rates;
  readonly ways: readonly WayModel[];
  close(): Promise<void>;
}

const TRANSIT = 5; // as open() has it
const FORMAT = FORMATS.q4;

/**
 * Loads the model, all of its experts on the device and all of them in RAM.
 * @throws DeviceError without an adapter
 */
export async function openWays({ model: where, slots, adapter, threads }: WaysOptions, most: number): Promise<Ways> {
  enableWasmFeatures();
  const started = performance.now();
  const steps = await openSteps(where, { weights: "q4", kv: "f16", chunk: 512, adapter });
  await steps.reserve(most);
  const { architecture, ops } = steps;
  const weights = await openWeights(where);
  const { layers: sources } = weights.sources;
  const shape = expertShape(sources[0]!, keep(FORMAT), 0);
  const [L, E] = [sources.length, shape.count];
  const cpu = { threads: threads ?? usableCores(), startWorker: startNodeWorker };
  const host = await createCpuExperts(shape, L * E + 1, cpu);
  const read = recordReader(
    sources.map(({ experts }) => experts),
    host,
    null,
  );
  // RAM holds all experts: its hit rate is not measured here.
  const ram = new RamTier({
    experts: host,
    layers: L,
    quota: E,
    policy: () => new Ewma(E),
    read,
    clock: CLOCK.now,
  });
  for (let layer = 0; layer < L; layer++) {
    const all = Array.from({ length: E }, (_, expert) => ({ expert, tokens: 1 }));
    ram.begin(layer, all, 1);
    for (const { expert } of all) {
      await ram.acquire(layer, expert, "demand");
      ram.release(layer, expert);
    }
  }
  await weights.close();
  const device = await ops.deviceExperts(shape, L, slots, TRANSIT);
  const rates = await calibrate({ host, slot: await ram.acquire(0, 0, "demand"), device, clock: CLOCK });
  ram.release(0, 0);
  const { perToken, rule } = routingOf(architecture);
  const predict = await layerPrediction(
    sources.map((layer) => ({ ...layer, gate: layer.gate! })),
    perToken,
    rule,
  );
  const tiered = (name: string, options: Pick<DeviceTierOptions, "places" | "predict">): WayModel => {
    const costs = new Costs(rates);
    const policies = Array.from({ length: L }, () => new Ewma(E));
    const tier = new DeviceTier({ device, ram, policy: (layer) => policies[layer]!, costs, clock: CLOCK, ...options });
    const decoder: Decoder = {
      ...steps.model,
      layers: steps.model.layers.map((layer, i) => ({ ...layer, experts: ops.slottedExperts(i, device, tier) })),
    };
    return {
      name,
      decode: (tokens) => steps.decode(0, tokens, 1, decoder),
      clear() {
        tier.clear(); // on the device too, which holds another way's experts
        for (const { scores } of policies) scores.fill(0);
      },
      counters: () => tier.counters.snapshot(),
      costs: () => costs,
    };
  };
  return {
    backend: ops.info,
    architecture,
    recordBytes: host.recordBytes,
    threads: cpu.threads,
    loadMs: performance.now() - started,
    rates,
    ways: [
      tiered("hybrid", {}),
      tiered("hybrid with prefetch", { predict }),
      tiered("upload", { places: ["device"] }),
      tiered("upload with prefetch", { places: ["device"], predict }),
      tiered("host", { places: ["host"] }),
      {
        name: "all on the device",
        decode: (tokens) => steps.decode(0, tokens),
        clear() {},
        counters: () => null,
        costs: () => null,
      },
    ],
    async close() {
      await ram.close();
      host.close();
      await steps.close();
    },
  };
}
