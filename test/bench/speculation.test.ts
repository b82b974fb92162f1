// The benchmark of speculation: its options, and that different tokens are an error and no figure.

import { describe, expect, it, vi } from "vitest";
import type { Row } from "../../bench/speculation/child.ts";
import { groupsOf, speculationCommand, summary } from "../../bench/speculation/command.ts";
import { quoted } from "../../bench/speculation/held.ts";
import { foreseen } from "../../bench/speculation/oracle.ts";
import { measuredCost, replayed } from "../../bench/speculation/replay.ts";
import { talesFromModel } from "../tokenizer/support.ts";

const row = (decodeTps: number, cpuMs: number, more: Partial<Row> = {}): Row => ({
  ...{
    name: "usual 1",
    kind: "usual",
    decodeTps,
    cpuMs,
    tokens: 40,
    drafted: 30,
    accepted: 20,
    submits: null,
    missing: null,
    digest: "a",
  },
  ...more,
});

describe("speculation", () => {
  it("compares each repeat's two ways, and takes the medians", () => {
    const runs = [
      { off: [row(100, 90)], on: [row(150, 60)] },
      { off: [row(50, 80)], on: [row(100, 40)] },
      { off: [row(100, 90)], on: [row(90, 100)] },
    ];
    expect(summary(runs, 0)).toEqual({
      ...{ name: "usual 1", kind: "usual", offTps: 100, onTps: 100, ratio: 1.5, cpuRatio: 1.5 },
      ...{ tokensPerStep: 2, drafted: 30, accepted: 20, submitsPerToken: null, missingPerToken: null, same: true },
    });
  });

  it("says how many submits of a GPU a token took, and whether its other kernels gave the same tokens", () => {
    const runs = [{ off: [row(100, 90, { submits: 39 })], on: [row(150, 60, { submits: 26, digest: "b" })] }];
    const { submitsPerToken, same } = summary(runs, 0);
    expect([submitsPerToken, same]).toEqual([26 / 39, false]);
    const other = { off: runs[0]!.off, on: [row(150, 60, { submits: 26, digest: "c" })] };
    expect(() => summary([...runs, other], 0)).toThrow("usual 1: the tokens differ");
  });

  it("says how many experts a token missed, without drafts and with", () => {
    const runs = [{ off: [row(100, 90, { missing: 78 })], on: [row(150, 60, { missing: 39 })] }];
    expect(summary(runs, 0).missingPerToken).toEqual({ off: 2, on: 1 });
  });

  it("says what right drafts give of a text: of what the lookup knows, and of all of it", () => {
    const more = { known: [row(160, 50)], all: [row(400, 20)] };
    expect(summary([{ off: [row(100, 90)], on: [row(150, 60)], ...more }], 0).bound).toEqual({ known: 1.6, all: 4 });
  });

  it.each([
    ["take turns in one process", { slots: null, adapter: null }, [["off", "lookup"]]],
    ["have processes of their own where experts have slots", { slots: 4, adapter: null }, [["off"], ["lookup"]]],
    ["and on a GPU", { slots: null, adapter: "llvmpipe" }, [["off"], ["lookup"]]],
  ])("ways %s", (_, task, groups) => {
    expect(groupsOf(task, ["off", "lookup"])).toEqual(groups);
  });

  it("a part of a prompt is quoted in the prompt's tokens", () => {
    const ids = quoted(talesFromModel, "The boy said: There was a fox. Then he went home.", "There was a fox.");
    expect(talesFromModel.decode(ids)).toBe("There was a fox.");
    const whole = talesFromModel.encode("The boy said: There was a fox. Then he went home.", { addBos: false });
    expect(whole.join(" ")).toContain(ids.join(" "));
  });

  it("the lookup may know a token where its first draft is that one, in whatever tokens it comes", () => {
    const pieces = ["", " one", " two", " three", " four", " t", "wo", "."].map((text) =>
      new TextEncoder().encode(text),
    );
    const spelling = {
      bytes: (id: number) => pieces[id]!,
      id: (bytes: Uint8Array) => {
        const at = pieces.findIndex((piece) => piece.join() === bytes.join());
        return at < 0 ? null : at;
      },
    };
    const known = foreseen({ prompt: [1, 2, 3, 4, 7], ids: [1, 2, 3, 1, 5, 6, 3, 4] }, 8, spelling);
    // Behind "one two" comes "three", and then "one" where it was "four"; "wo" ends the "two" that
    // was begun, "three" follows; then the latest place is the one with "one".
    const told = [false, false, false, false, false, ...[false, false, true, false, false, true, true, false]];
    expect(known).toEqual(told);
  });

  it("a replay costs what its steps cost, wrong drafts too", () => {
    const bytes = (id: number): Uint8Array => new TextEncoder().encode(` word${id}`);
    const spelling = { bytes, id: () => null };
    const of = (prompt: number[], ids: number[]) => replayed({ prompt, ids }, spelling, 1000, (n) => 1 + (n - 1) / 10);
    const fresh = Array.from({ length: 40 }, (_, i) => i);
    expect(
      of(
        fresh,
        Array.from({ length: 41 }, (_, i) => 100 + i),
      ),
    ).toEqual({ gain: 1, known: 1, drafted: 0, accepted: 0 });
    const copy = of([...fresh, ...fresh.slice(0, 8)], fresh.slice(8));
    // 31 tokens behind the first one: 16 for 2.5 and 15 for 2.4 at best.
    expect(copy.known).toBeCloseTo(31 / 4.9, 9);
    expect(copy.accepted).toBe(copy.drafted);
    expect(copy.gain).toBeGreaterThan(4);
    expect(copy.gain).toBeLessThanOrEqual(copy.known);
    const parted = of([...fresh, ...fresh.slice(0, 8)], [8, ...Array.from({ length: 31 }, (_, i) => 200 + i)]);
    expect(parted.drafted).toBeGreaterThan(parted.accepted);
    expect(parted.gain).toBeCloseTo(31 / (31 + parted.drafted / 10), 9);
  });

  it("takes costs between those that were measured in proportion", () => {
    expect([1, 2, 5, 14, 16].map(measuredCost)).toEqual([1, 1.33, expect.closeTo(2.05, 9), 3.85, 4.5]);
  });

  it.each([
    ["with drafts", { off: [row(1, 1)], on: [row(1, 1, { digest: "b" })] }],
    ["in another repeat", { off: [row(1, 1, { digest: "b" })], on: [row(1, 1)] }],
  ])("says where the tokens differ %s", (_, run) => {
    expect(() => summary([{ off: [row(1, 1)], on: [row(1, 1)] }, run], 0)).toThrow("usual 1: the tokens differ");
  });

  it.each([
    [["--tokens", "1"], "--tokens: expected a whole number of at least 2"],
    [["--read-ms", "3"], "--read-ms: expected --slots too"],
    [["--slots", "few"], "--slots: expected a whole number"],
    [["--oracle", "--adapter", "llvmpipe"], "--oracle: expected the CPU"],
    [["--replay", "--slots", "4"], "--replay: expected none of --oracle"],
    [["--unknown"], "--unknown"],
  ])("refuses %j", async (args, message) => {
    const error = vi.spyOn(console, "error").mockReturnValue();
    expect(await speculationCommand(new URL("file:///"), args)).toBe(2);
    expect(error.mock.calls[0]![0]).toContain(message);
    error.mockRestore();
  });
});
