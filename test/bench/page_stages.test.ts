// The stages of the benchmark's page with workers that only answer: what comes after a stage
// that fails, lacks memory, or is stopped.

import { afterEach, expect, it, vi } from "vitest";
import { runStages } from "../../bench/page/stages.ts";
import type { News, Order, Plan } from "../../bench/page/types.ts";

const PLAN: Plan = {
  model: "synthetic:mixtral-8x7b?layers=LAYERS",
  layers: 4,
  weights: ["q4", "q8"],
  cases: "1@0",
  tokens: 1,
  conformance: "",
  minutes: 1,
};

/** Workers answer orders by `answer`; returns the orders. */
function workers(answer: (order: Order) => News | null): Order[] {
  const orders: Order[] = [];
  vi.stubGlobal(
    "Worker",
    class extends EventTarget {
      terminate(): void {}
      postMessage(order: Order): void {
        orders.push(order);
        const data = answer(order);
        if (data) queueMicrotask(() => this.dispatchEvent(new MessageEvent("message", { data })));
      }
    },
  );
  return orders;
}
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const options = (onChange = (): void => {}, signal = new AbortController().signal) => ({ signal, onChange });
const lacks: News = { kind: "failed", error: "MemoryError: no more", memory: true };

it("tries half as many layers where memory is too small, and says so", async () => {
  const orders = workers((order) =>
    order.kind === "profile" && order.model.endsWith("layers=4") ? lacks : { kind: "done" },
  );
  const [q4, q8] = await runStages(PLAN, options());
  expect(orders.map((order) => order.kind === "profile" && `${order.weights} ${order.model.split("?")[1]}`)).toEqual([
    "q4 layers=4",
    "q4 layers=2",
    "q8 layers=4",
    "q8 layers=2",
  ]);
  expect([q4, q8].map((stage) => [stage!.name, stage!.state, stage!.notes])).toEqual([
    ["q4 weights", "done", ["MemoryError: no more"]],
    ["q8 weights", "done", ["MemoryError: no more"]],
  ]);
});

it("gives the second try the time that the first has left", async () => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
  const orders = workers((order) => {
    vi.advanceTimersByTime(10_000);
    return order.kind === "profile" && order.model.endsWith("layers=4") ? lacks : { kind: "done" };
  });
  await runStages({ ...PLAN, weights: ["q4"] }, options());
  expect(orders.map((order) => order.kind === "profile" && order.budgetMs)).toEqual([60_000, 50_000]);
});

it("goes on after a stage that fails", async () => {
  workers((order) =>
    order.kind === "profile" && order.weights === "q4"
      ? { kind: "failed", error: "DeviceError: lost", memory: false }
      : { kind: "done" },
  );
  const stages = await runStages(PLAN, options());
  expect(stages.map(({ state, notes }) => [state, notes])).toEqual([
    ["failed", ["DeviceError: lost"]],
    ["done", []],
  ]);
});

it("ends a stage when it is stopped, and begins no other", async () => {
  const orders = workers(() => null);
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 10);
  const stages = await runStages(PLAN, options(undefined, controller.signal));
  expect(stages.map(({ state }) => state)).toEqual(["stopped"]);
  expect(orders).toHaveLength(1);
});
