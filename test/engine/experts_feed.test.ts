// Frames of experts at work: what steps did, in bounded memory.

import { describe, expect, it } from "vitest";
import { ExpertsFeed, type ExpertsHead, PLACE, UNKNOWN } from "../../src/engine/experts_feed.ts";
import type { ExpertStats, LayerStats } from "../../src/experts/stats.ts";

const HEAD: ExpertsHead = { layers: [1, 2], experts: [4, 3], perToken: 2, main: "gpu", recordBytes: 10, slots: 2 };
const words = (text: string): number[] => [...new Uint16Array(Uint8Array.from(Buffer.from(text, "base64")).buffer)];
const bytes = (text: string | null): number[] | null => (text === null ? null : [...Buffer.from(text, "base64")]);

/** One answer's token, or a step of `tokens` of one prompt; ids go round. */
function step(tokens: number, sequences = 1, last = tokens) {
  const row = (n: number) => Uint32Array.from({ length: n * 2 }, (_, i) => i % 3);
  return { tokens, sequences, layers: [row(tokens), row(last)], ms: 2 };
}

function stats(residents: readonly number[], hits: number): ExpertStats {
  const layer = (own: readonly number[]): LayerStats => ({
    ...{ routed: hits + 1, hits, misses: 1, admissions: 0, residents: own },
  });
  const moved = { demand: 10 * hits, admission: 0, prefetch: 0, wasted: 0 };
  return {
    experts: 4,
    recordBytes: 10,
    main: { slots: 2, layers: [layer(residents), layer([])], bytes: moved },
    ram: { slots: 1, layers: [layer([0]), layer([2])], bytes: moved },
    packed: null,
    ms: { stall: hits, sync: 0, upload: 0, disk: 0, hostCompute: 0 },
  };
}

describe("frames", () => {
  it("show answers' tokens one by one, count prompts', and say where experts are when that changes", () => {
    let now = stats([0, 1], 5);
    const feed = new ExpertsFeed(
      HEAD,
      () => now,
      () => 7,
    );
    expect(feed.pending).toBe(false);
    feed.add(step(1));
    feed.add(step(3, 1, 1));
    const frame = feed.take();
    expect(frame).toMatchObject({ at: 7, steps: 2, tokens: 4, ms: 4, shown: 1, dropped: 0 });
    expect(words(frame.routes)).toEqual([0, 1, 0, 1]);
    expect(bytes(frame.counts)).toEqual([2, 2, 2, 0, 1, 1, 0, 0]);
    const { disk, ram, gpu, none } = PLACE;
    expect(bytes(frame.places)).toEqual([gpu, gpu, disk, disk, disk, disk, ram, none]);
    expect(frame.uses).toEqual({ routed: 0, hits: 0 });
    now = stats([0, 1], 9);
    feed.add(step(2, 2));
    const next = feed.take();
    expect(next).toMatchObject({ steps: 1, tokens: 2, shown: 2, counts: null, places: null });
    expect(next).toMatchObject({ uses: { routed: 8, hits: 8 }, bytes: { main: 40, disk: 40 }, times: { stall: 4 } });
    now = stats([1, 3], 9);
    feed.add(step(1));
    expect(bytes(feed.take().places)!.slice(0, 4)).toEqual([ram, gpu, disk, gpu]);
  });

  it("say what is not known", () => {
    const feed = new ExpertsFeed({ ...HEAD, recordBytes: null, slots: null }, () => null);
    feed.add(step(1, 1, 0)); // its last layer was not computed
    const frame = feed.take();
    expect(words(frame.routes)).toEqual([0, 1, UNKNOWN, UNKNOWN]);
    expect(frame).toMatchObject({ uses: null, bytes: null, times: null });
    expect(bytes(frame.places)).toEqual([2, 2, 2, 2, 2, 2, 2, 3]);
  });

  it("have a bounded size for a page that reads slowly, and say what they left out", () => {
    const feed = new ExpertsFeed(HEAD, () => null);
    for (let i = 0; i < 1000; i++) feed.add(step(1));
    const frame = feed.take();
    expect(frame).toMatchObject({ steps: 1000, shown: 64, dropped: 936 });
    expect(words(frame.routes)).toHaveLength(64 * 4);
    expect(bytes(frame.counts)!.slice(0, 3)).toEqual([255, 255, 0]); // at most
    expect(feed.pending).toBe(false);
    expect(feed.take()).toMatchObject({ steps: 0, shown: 0, dropped: 0, counts: null, places: null });
  });
});
