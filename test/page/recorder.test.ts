// The recording behind the map of experts: what is kept of frames, in bounded memory.

import { describe, expect, it, onTestFinished, vi } from "vitest";
import { ExpertsFeed, type ExpertsHead } from "../../src/engine/experts_feed.ts";
import { askedNow, noteAsked } from "../../src/page/asked.ts";
import { compare, MOST_RUNS, MOST_TOKENS, Recorder } from "../../src/page/experts/recorder.ts";
import { bytesText, cellText, figuresText, timesOf } from "../../src/page/experts/text.ts";
import { activityIn, expertsEvent } from "../../src/page/remote/live.ts";

const HEAD: ExpertsHead = { layers: [1, 2], experts: [4, 3], perToken: 1, main: "gpu", recordBytes: 10, slots: 2 };

/** Frames as the engine makes them; `at` is the time of the next ones. */
function source(head = HEAD) {
  const clock = { at: 1000 };
  let residents: readonly number[] = [0];
  const layer = () => ({ routed: 0, hits: 0, misses: 0, admissions: 0, residents });
  let steps = 0;
  const feed = new ExpertsFeed(
    head,
    () => ({
      experts: 4,
      recordBytes: 10,
      main: {
        slots: 2,
        layers: [{ ...layer(), routed: 2 * steps, hits: steps }, layer()],
        bytes: { demand: 100 * steps, admission: 0, prefetch: 0, wasted: 0 },
      },
      ram: null,
      packed: null,
      ms: { stall: steps, sync: 2 * steps, upload: 0, disk: 0, hostCompute: 0 },
    }),
    () => clock.at,
  );
  return {
    clock,
    move(...where: number[]) {
      residents = where;
    },
    /** A token that takes expert `a` of the first layer and `b` of the second. */
    frame(...tokens: readonly (readonly [a: number, b: number])[]) {
      for (const [a, b] of tokens) {
        steps++;
        feed.add({ tokens: 1, sequences: 1, layers: [Uint32Array.of(a), Uint32Array.of(b)], ms: 10 });
      }
      return feed.take();
    },
    prompt(...ids: number[]) {
      const all = Uint32Array.from(ids);
      feed.add({ tokens: ids.length, sequences: 1, layers: [all, all], ms: 1 });
      return feed.take();
    },
  };
}

describe("a recording", () => {
  it("knows of each token what it took and where experts were then", () => {
    const from = source();
    const recorder = new Recorder(HEAD);
    recorder.add(from.frame([0, 2], [3, 2]));
    from.move(1, 2);
    recorder.add(from.frame([1, 0]));
    expect([recorder.start, recorder.end]).toEqual([0, 3]);
    expect([...recorder.counts]).toEqual([1, 1, 0, 1, 1, 0, 2, 0]);
    const heat = (end: number) => [...recorder.heatAt(end)].map((value) => Math.round(100 * value));
    expect(heat(3)).toEqual([72, 100, 0, 85, 100, 0, 85, 0]);
    expect(heat(1)).toEqual([100, 0, 0, 0, 0, 0, 100, 0]);
    expect([...recorder.placesAt(3)!].slice(0, 4)).toEqual([0, 2, 2, 0]);
    expect([...recorder.placesAt(0)!].slice(0, 4)).toEqual([2, 0, 0, 0]);
    expect([recorder.sinceUse(3, 3), recorder.sinceUse(1, 3), recorder.sinceUse(2, 3)]).toEqual([1, 0, null]);
    expect(cellText(recorder, 3, 3)).toBe(
      "Layer 1, expert 3: only on disk; used 1 times, 33.3 % of the layer's uses, last 1 tokens ago.",
    );
  });

  it("has figures of the last tokens, at any token", () => {
    const from = source();
    const recorder = new Recorder(HEAD);
    for (let i = 0; i < 10; i++) recorder.add(from.frame([i % 4, i % 3]));
    const figures = recorder.figuresAt(10, 4);
    expect(figures).toEqual({
      ...{ tokens: 4, ms: 40, dropped: 0, uses: { routed: 8, hits: 4 }, bytes: { main: 400, disk: 400 } },
      times: { stall: 4, sync: 8, upload: 0, disk: 0, hostCompute: 0 },
    });
    expect(recorder.figuresAt(2, 4)).toMatchObject({ tokens: 2, ms: 20 });
    expect(Object.fromEntries(figuresText(figures, HEAD))).toEqual({
      "Tokens a second": "100.0",
      "A token takes": "10.0 ms",
      "Experts found in place": "50.0 %",
      "Moved to the GPU, a token": "100 B",
      "Read from disk, a token": "100 B",
    });
    expect(timesOf(recorder, figures).map(({ ms }) => ms)).toEqual([1, 2, 0, 0, 7]);
    expect(timesOf(recorder, { ...figures, times: null })).toEqual([]);
  });

  it("lights what a prompt took, and counts it", () => {
    const recorder = new Recorder(HEAD);
    recorder.add(source().prompt(0, 0, 0, 2));
    expect([...recorder.heatAt(0)].map((value) => Math.round(100 * value))).toEqual([100, 0, 53, 0, 100, 0, 53, 0]);
    expect([...recorder.counts]).toEqual([3, 0, 1, 0, 3, 0, 1, 0]);
  });

  it("keeps the last tokens of a long one", () => {
    const from = source();
    const recorder = new Recorder(HEAD);
    for (let i = 0; i < MOST_TOKENS + 100; i++) recorder.add(from.frame([i === MOST_TOKENS + 99 ? 3 : 0, 0]));
    expect([recorder.start, recorder.end]).toEqual([100, MOST_TOKENS + 100]);
    expect(recorder.heatAt(recorder.end)[3]).toBe(1);
    expect(recorder.counts[0]).toBe(MOST_TOKENS + 99);
  });

  it("begins another run after a pause, and keeps the last ones", () => {
    const from = source();
    const recorder = new Recorder(HEAD);
    for (let run = 0; run < MOST_RUNS + 2; run++) {
      from.clock.at += 5000;
      for (let i = 0; i < 3; i++) {
        from.clock.at += 1000;
        recorder.add(from.frame([run % 4, 0]));
      }
    }
    expect(recorder.runs).toHaveLength(MOST_RUNS);
    expect(recorder.runs[0]).toMatchObject({ number: MOST_RUNS + 2, tokens: 3 });
    expect(recorder.runs.map(({ tokens }) => tokens)).toEqual(Array(MOST_RUNS).fill(3));
  });

  it("has a run for each answer to the page, and tells tokens of others apart", () => {
    const from = source();
    const recorder = new Recorder(HEAD);
    const [fox, crow] = [1, 2].map((number) => ({ number, title: number === 1 ? "a fox" : "a crow" }));
    for (const asked of [null, fox!, fox!, crow!, null, null, fox!]) {
      from.clock.at += asked === fox ? 5000 : 10; // an answer may wait for its turn
      recorder.add(from.frame([0, 0]), asked);
    }
    const told = recorder.runs.map(({ asked, tokens }) => [asked?.title, tokens]);
    expect(told.toReversed()).toEqual([
      [undefined, 1],
      ["a fox", 2],
      ["a crow", 1],
      [undefined, 2],
      ["a fox", 1],
    ]);
  });

  it("knows what the page has asked, by its beginning, until a moment after the answer", () => {
    vi.useFakeTimers({ now: 0 });
    onTestFinished(() => void vi.useRealTimers());
    const end = noteAsked("tales", `Tell me\n of ${"a fox and ".repeat(10)}`);
    expect(askedNow("other")).toBe(null);
    expect(askedNow("tales")?.title).toBe("Tell me of a fox and a fox and a fox and…");
    vi.advanceTimersByTime(60_000);
    end();
    vi.advanceTimersByTime(500);
    expect(askedNow("tales")).not.toBe(null);
    vi.advanceTimersByTime(2000);
    expect(askedNow("tales")).toBe(null);
  });

  it("passes over what does not fit the model", () => {
    const recorder = new Recorder(HEAD);
    const good = source().frame([0, 0]);
    for (const bad of [
      { routes: "%%%" },
      { routes: "" },
      { routes: btoa("\x09\x00\x09\x00") },
      { places: "AA==", counts: "AAAA" },
      { shown: 1e9 },
    ])
      recorder.add({ ...good, ...bad });
    expect(recorder.counts[0]).toBe(2); // of the last two, which have routes
    expect(recorder.heatAt(recorder.end)).toHaveLength(8);
  });
});

describe("two runs", () => {
  it("are compared by each expert's share of its layer", () => {
    const run = (...counts: number[]) => ({
      ...{ number: 1, asked: null, began: 0, tokens: 1 },
      counts: Float64Array.from(counts),
    });
    const found = compare(HEAD, run(2, 2, 0, 0, 1, 0, 0, 0), run(0, 1, 1, 0, 5, 0, 0, 0));
    expect([...found.map]).toEqual([-1, 0, 1, 0, 0, 0, 0, 0]);
    expect(found).toMatchObject({ largest: 0.5, layers: [0.5, 1], common: 0.75 });
    expect(compare(HEAD, run(...Array(8).fill(0)), run(...Array(8).fill(0)))).toMatchObject({ largest: 0, common: 0 });
  });
});

describe("what a server sends", () => {
  it.each<[string, unknown]>([
    ["head", {}],
    ["head", { layers: [0], experts: [1e9], perToken: 1 }],
    ["head", { layers: [0, 1], experts: [4], perToken: 1 }],
    ["head", { layers: [0], experts: [4], perToken: 0 }],
    ["other", { a: 1 }],
  ])("%s %j is passed over", (name, data) => {
    expect(expertsEvent(name, data)).toBeNull();
  });

  it.each([null, 1, "x", [], { steps: [null], models: { a: 1 }, all: { errors: [1] } }])(
    "%j as activity harms not",
    (found) => {
      expect(activityIn(found, "day")).toMatchObject({ span: "day", all: { requests: 0, first: null } });
    },
  );
});

describe("texts", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1536, "1.5 KiB"],
    [200 * 2 ** 30, "200 GiB"],
  ])("%d bytes are %s", (bytes, text) => {
    expect(bytesText(bytes)).toBe(text);
  });
});
