// Experts in slots on WebGPU: whatever is in them and however the rest is added, a step gives what
// loaded experts give.

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { type DeviceMoe, type DeviceScheduler, NO_SLOT } from "../../src/backend/experts.ts";
import { usualForms } from "../../src/backend/webgpu/tuning/rows.ts";
import type { WebGpuOps } from "../../src/backend/webgpu/webgpu.ts";
import { DeviceError, MemoryError, RequestError, WeightsError } from "../../src/errors.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { canaries } from "../support/canaries.ts";
import { titled } from "../support/fixtures.ts";
import { expertSource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { expectClose, INT8_NMSE } from "../support/reference.ts";
import { SLOT_CASES } from "../support/slot_cases.ts";
import { onHost, openLab, Residents, type Sizes, type SlotLab, scheduler, schedulers } from "../support/slots.ts";
import { shown, some } from "../support/some.ts";
import { allowedNmse, range } from "../support/steps.ts";

const COUNTS = [1, 3, 40]; // few rows and many
/** Sizes of all kinds; one in teams that share columns, as on a GPU. */
const AGREEING = SLOT_CASES.filter(({ options }) => options?.tile === undefined).map((one, i) =>
  i === 0 ? { ...one, options: { forms: usualForms(false) } } : one,
);
const ONCE = 8; // rows of an expert for which a software adapter reads its weights once
const SAME = 1e-11; // NMSE between orders of the same sums in f32

describe.skipIf(noAdapter)(`webgpu slots${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  if (adapters.length === 0) it("needs an adapter", () => Promise.reject(new Error(NO_ADAPTER)));
  const { guard, check } = canaries();
  afterEach(check);

  describe.each(adapters.map((adapter) => [adapter.name, adapter] as const))("%s", (_, adapter) => {
    // What no kernel has to do with is the same on every adapter.
    const slow = adapter.leftToFaster ?? null;
    describe.each(slow ? shown(SLOT_CASES, (one) => one === SLOT_CASES[0]) : some(SLOT_CASES, 3))(
      "$what, $precision",
      (sizes) => {
        let lab: SlotLab;
        let ops: WebGpuOps;
        beforeAll(async () => {
          ops = guard(await adapter.open({ maxTokens: 40, ...sizes.options }));
          lab = await openLab(ops, sizes);
          for (const [slot, expert] of sizes.resident.entries()) lab.residents.put(expert, slot, 1000);
        });
        afterAll(() => ops?.close());

        it.each(["transit", "own", "host", "mixture"])("gives what loaded experts give: %s", async (name) => {
          const experts = lab.slotted(schedulers(lab)[name]!);
          for (const T of [...COUNTS, ...(name === "mixture" ? [2, 40, 1, 8, 9, 1] : [])]) {
            const want = await lab.step(T, lab.loaded);
            const got = await lab.step(T, experts);
            // The host rounds no activations.
            const rounded = sizes.options?.tile === "int8" && name !== "transit";
            expectClose(got, want, sizes.D, rounded ? INT8_NMSE : SAME);
            expectClose(got, lab.want(T), sizes.D, allowedNmse(ops, FORMATS[sizes.precision]));
          }
        });
      },
    );

    it.skipIf(slow).each(some(AGREEING, 3))(
      titled("gives what loaded experts give, to the bit, where rows agree: $what, $precision", slow),
      async (sizes) => {
        const ops = guard(await adapter.open({ maxTokens: 40, ...sizes.options, rowsAgree: true }));
        const lab = await openLab(ops, sizes);
        for (const [slot, expert] of sizes.resident.entries()) lab.residents.put(expert, slot);
        const { transit, own } = schedulers(lab);
        let alone: Float32Array | null = null;
        for (const T of [1, 2, 8, 40]) {
          const want = await lab.step(T, lab.loaded);
          alone ??= want;
          if (T <= ops.rowsAgree) expect(want.subarray(0, sizes.D)).toEqual(alone);
          for (const how of [transit!, own!]) expect(await lab.step(T, lab.slotted(how))).toEqual(want);
        }
        ops.close();
      },
    );

    describe.skipIf(slow)(titled("a layer", slow), () => {
      const sizes: Sizes = { E: 6, K: 2, D: 64, F: 96, slots: 6, transit: 2, precision: "f32" };
      let lab: SlotLab;
      let ops: WebGpuOps;
      beforeAll(async () => {
        ops = await adapter.open({ maxTokens: 40 });
        lab = await openLab(ops, sizes);
      });
      afterAll(() => ops?.close());
      const fill = (experts: readonly number[]): void => {
        lab.device.setTable(1, new Uint32Array(sizes.E).fill(NO_SLOT));
        lab.residents.table.fill(NO_SLOT);
        for (const [i, expert] of experts.entries()) lab.residents.put(expert, sizes.slots - 1 - i);
      };

      it("is computed from its slots alone where all are there", async () => {
        fill([0, 1, 2, 3, 4, 5]);
        const seen: DeviceMoe[] = [];
        const experts = lab.slotted(scheduler((step) => void seen.push(step)));
        for (const T of COUNTS) expectClose(await lab.step(T, experts), await lab.step(T, lab.loaded), sizes.D, SAME);
        expect(seen.map(({ layer, ids, weights, x }) => [layer, ids.length, weights.length, x.length])).toEqual(
          COUNTS.map((T) => [1, T * 2, T * 2, T * 64]),
        );
      });

      it("tells the scheduler routes and rows as they are", async () => {
        fill([]);
        const steps: DeviceMoe[] = [];
        await lab.step(40, lab.slotted(scheduler((step) => void steps.push(step))));
        const step = steps[0]!;
        const { ids, weights, x } = step;
        const y = new Float32Array(x.length);
        onHost({ ...step, addHost: (rows) => y.set(rows) }, [0, 1, 2, 3, 4, 5], lab.host, sizes.D);
        // nothing added: x itself
        const input = await lab.step(40, lab.slotted(scheduler(() => {})));
        expectClose(
          y.map((value, i) => value + input[i]!),
          lab.want(40),
          sizes.D,
        );
        for (let t = 0; t < 40; t++) expect(weights[2 * t]! + weights[2 * t + 1]!).toBeCloseTo(1, 5);
        expect(Math.max(...ids)).toBeLessThan(6);
      });

      it("counts what it does, and creates nothing after a token and a chunk, whatever is missing then", async () => {
        fill([0, 1, 2, 3, 4, 5]);
        const nothing = lab.slotted(scheduler(() => {}));
        await lab.step(1, lab.loaded);
        for (const T of [1, 9]) await lab.step(T, nothing); // nothing is missing in the warm-up
        const perExpert = lab.loaded.bytes / sizes.E;
        fill([1, 2]);
        const { transit, host } = schedulers(lab);
        for (const [T, how] of [
          [1, transit],
          [40, transit],
          [7, host],
          [40, host],
        ] as const) {
          let uses = 0;
          const before = ops.counters();
          await lab.step(
            T,
            lab.slotted({
              prepare() {},
              misses(step) {
                const missing = lab.residents.missing(step);
                const device = (expert: number) => how === transit || !missing.includes(expert);
                const rows = new Map<number, number>();
                for (const expert of step.ids) if (device(expert)) rows.set(expert, (rows.get(expert) ?? 0) + 1);
                uses = [...rows.values()].reduce((sum, count) => sum + Math.ceil(count / (T === 1 ? 1 : ONCE)), 0);
                return how!.misses(step);
              },
            }),
          );
          const after = ops.counters();
          const made = ({ bindGroupsCreated, buffersCreated, pipelinesCreated, peakBytes }: typeof after) => ({
            bindGroupsCreated,
            buffersCreated,
            pipelinesCreated,
            peakBytes,
          });
          expect(made(after)).toEqual(made(before));
          expect(after.readbacks - before.readbacks).toBe(2); // routes and rows; the result
          // Routes, hits, the result; and one for each time that something is added.
          expect(after.submits - before.submits).toBeGreaterThanOrEqual(3);
          const gate = 8 * 64 * 4; // rows are in panels of eight
          const read = after.weightBytes - before.weightBytes - T * gate;
          expect(read / perExpert).toBeCloseTo(uses, 6);
        }
      });

      it("does not take what other experts left in the scratch for theirs", async () => {
        const huge = (seed: number, n: number) => uniform(n, seed, 1e30);
        const sources = Array.from({ length: sizes.E }, (_, e) =>
          expertSource(`${e}`, { w1: huge(e, 96 * 64), w3: huge(9 + e, 96 * 64), w2: huge(19 + e, 64 * 96) }, 64, 96),
        );
        const infinite = await ops.loadExperts(sources, FORMATS.f32, FORMATS.f32);
        fill([1, 3]);
        for (const T of [40, 3]) {
          expect((await lab.step(T, infinite)).some((value) => !Number.isFinite(value))).toBe(true);
          const experts = lab.slotted(schedulers(lab).host!);
          expectClose(await lab.step(T, experts), lab.want(T), sizes.D);
        }
      });

      it("goes on after a scheduler that fails, at whatever point", async () => {
        fill([0, 4]);
        const { transit } = schedulers(lab);
        const gone = new WeightsError("the file ended");
        const failing: readonly DeviceScheduler[] = [
          { prepare: () => Promise.reject(gone), misses: () => Promise.resolve() },
          scheduler(() => Promise.reject(gone)),
          {
            prepare() {},
            async misses(step) {
              await transit!.misses(step);
              step.addHost(new Float32Array(step.x.length).fill(9));
              throw gone;
            },
          },
        ];
        for (const bad of failing)
          for (const T of [1, 40]) {
            await expect(lab.step(T, lab.slotted(bad))).rejects.toBe(gone);
            expectClose(await lab.step(T, lab.slotted(transit!)), lab.want(T), sizes.D);
          }
      });

      it("ends a step at its signal, with its reason", async () => {
        fill([2]);
        const reason = new Error("enough");
        const { transit } = schedulers(lab);
        let asked = 0;
        const early: DeviceScheduler = { prepare: () => void asked++, misses: () => Promise.resolve(void asked++) };
        await expect(lab.step(3, lab.slotted(early), AbortSignal.abort(reason))).rejects.toBe(reason);
        expect(asked).toBe(0);
        const late = new AbortController();
        const between: DeviceScheduler = {
          prepare: () => late.abort(reason),
          misses: () => Promise.resolve(void asked++),
        };
        await expect(lab.step(3, lab.slotted(between), late.signal)).rejects.toBe(reason);
        expect(asked).toBe(0);
        const waiting = new AbortController();
        const waits = scheduler(
          ({ signal }) =>
            new Promise((_, reject) => {
              signal!.addEventListener("abort", () => reject(signal!.reason));
              waiting.abort(reason);
            }),
        );
        await expect(lab.step(3, lab.slotted(waits), waiting.signal)).rejects.toBe(reason);
        expectClose(await lab.step(3, lab.slotted(transit!)), lab.want(3), sizes.D);
      });

      it("refuses what its slots do not have, and what comes too late", async () => {
        const { device } = lab;
        const bytes = new Uint8Array(8);
        const table = new Uint32Array(sizes.E).fill(NO_SLOT);
        for (const refused of [
          () => device.write({ layer: 3, slot: 0 }, 0, bytes),
          () => device.write({ layer: 0, slot: 6 }, 0, bytes),
          () => device.write({ transit: 2 }, 0, bytes),
          () => device.write({ layer: 0, slot: 0 }, 2, bytes),
          () => device.write({ layer: 0, slot: 0 }, 0, bytes.subarray(0, 6)),
          () => device.write({ layer: 0, slot: 0 }, device.recordBytes - 4, bytes),
          () => device.setTable(3, table),
          () => device.setTable(0, table.subarray(1)),
          () => device.setTable(0, table.fill(6)),
          () =>
            lab.ops.slottedExperts(
              3,
              device,
              scheduler(() => {}),
            ),
        ])
          expect(refused).toThrow(RequestError);
        const steps: DeviceMoe[] = [];
        const twice = scheduler((now) => {
          steps.push(now);
          expect(() => now.addTransit(new Map([[6, 0]]))).toThrow(/expert 6 of 6/);
          expect(() => now.addTransit(new Map([[0, 2]]))).toThrow(/transit slot 2 of 2/);
          expect(() => now.addHost(new Float32Array(3))).toThrow(RequestError);
          now.addHost(new Float32Array(64));
          expect(() => now.addHost(new Float32Array(64))).toThrow(/second time/);
        });
        await lab.step(1, lab.slotted(twice));
        expect(() => steps[0]!.addTransit(new Map())).toThrow(/is over/);
      });

      it("takes records from shared memory", async () => {
        fill([]);
        const records = lab.records.map((record) => {
          const shared = new Uint8Array(new SharedArrayBuffer(record.length + 4), 4);
          shared.set(record);
          return shared;
        });
        const residents = new Residents(lab.device, 1, records);
        for (const expert of range(sizes.E)) residents.put(expert, expert);
        const nothing = lab.slotted(scheduler(() => {}));
        expectClose(await lab.step(3, nothing), await lab.step(3, lab.loaded), sizes.D, SAME);
      });
    });

    it.skipIf(slow)(titled("counts its bytes, and keeps nothing of what the device refuses", slow), async () => {
      const ops = await adapter.open({ maxTokens: 4 });
      const shape = { count: 8, hidden: 64, intermediate: 112, up: FORMATS.q4, down: FORMATS.q4 };
      for (const [layers, slots, transit] of [
        [0, 1, 1],
        [1, 0, 1],
        [1, 1, 0],
        [1, 1.5, 1],
      ] as const)
        await expect(ops.deviceExperts(shape, layers, slots, transit)).rejects.toThrow(RequestError);
      const before = ops.memory();
      const { device } = ops;
      const pop = device.popErrorScope.bind(device);
      let scopes = 0;
      device.popErrorScope = async () => {
        const found = await pop();
        return ++scopes === 8 ? ({ message: "VK_ERROR_OUT_OF_DEVICE_MEMORY" } as GPUError) : found;
      };
      await expect(ops.deviceExperts(shape, 2, 4, 2)).rejects.toThrow(MemoryError);
      device.popErrorScope = pop;
      expect(ops.memory()).toEqual(before);
      const made = await ops.deviceExperts(shape, 2, 4, 2);
      expect(made).toMatchObject({ layers: 2, slots: 4, transit: 2, shape });
      const after = ops.memory();
      expect(after.weights - before.weights + after.scratch - before.scratch).toBe(made.bytes);
      expect(made.bytes).toBeGreaterThanOrEqual(10 * (2 * 112 + 112) * 36);
      expect(ops.counters().peakBytes).toBe(after.weights + after.kv + after.scratch);
      ops.close();
    });

    it.skipIf(slow).each(some(["f32", "q8", "q4_k"] as const, 1))(
      titled("is tuned on transit slots, filled with weights that are no zeros: %s", slow),
      async (p) => {
        const ops = await adapter.open({ maxTokens: 40 });
        const sizes: Sizes = { E: 8, K: 2, D: 64, F: 96, slots: 3, transit: 3, precision: p };
        const lab = await openLab(ops, sizes);
        await ops.tune(null, { everything: false });
        const x = await lab.step(3, lab.slotted(scheduler(() => {})));
        for (const [slot, found] of [
          [0, true],
          [1, true],
          [2, false],
        ] as const) {
          const everyone = new Map([...range(sizes.E)].map((expert) => [expert, slot]));
          const y = await lab.step(3, lab.slotted(scheduler((step) => step.addTransit(everyone))));
          const change = y.map((value, i) => Math.abs(value - x[i]!)).reduce((sum, value) => sum + value) / y.length;
          if (found) expect(change).toBeGreaterThan(1e-4);
          else expect(change).toBe(0);
          expect(change).toBeLessThan(10);
        }
        lab.residents.put(3, 1);
        const { transit } = schedulers(lab);
        for (const T of COUNTS)
          expectClose(await lab.step(T, lab.slotted(transit!)), lab.want(T), sizes.D, allowedNmse(ops, FORMATS[p]));
        ops.close();
      },
    );

    it.skipIf(slow)(titled("gives DeviceError where the device is lost while the scheduler works", slow), async () => {
      const ops = await adapter.open({ maxTokens: 4 });
      const lab = await openLab(ops, { E: 4, K: 2, D: 64, F: 96, slots: 2, transit: 2, precision: "f32" });
      const { transit } = schedulers(lab);
      const lost = scheduler(async (step) => {
        ops.device.destroy();
        await lab.device.drained();
        return transit!.misses(step);
      });
      await expect(lab.step(3, lab.slotted(lost))).rejects.toThrow(DeviceError);
      await expect(lab.step(3, lab.slotted(transit!))).rejects.toThrow(/lost/);
      expect(() => lab.device.write({ transit: 0 }, 0, new Uint8Array(4))).toThrow(DeviceError);
      ops.close();
    });
  });
});
