// Verdicts as a table: a line a kernel and family, with the loop that multiplies most.

import type { Verdict } from "./judge.ts";
import type { Loop, Work } from "./work.ts";

const COLUMNS = [
  "lanes",
  "regs",
  "spill",
  "LDS",
  "waves",
  "instr",
  "loop",
  "VALU",
  "m-add",
  "loads",
  "B",
  "flight",
  "LDS r/w",
  "page",
  "spill",
  "loop +%",
];

/** How often a loop is likely to run for each time that the loop around it does. */
const TIMES = 8;

/** The loop that a kernel spends its time in: with the most multiply-adds, else the longest. */
export function mainLoop({ loops }: Pick<Verdict, "loops">): Loop | null {
  const weight = ({ multiplyAdds, depth }: Loop): number => multiplyAdds * TIMES ** depth;
  return loops.toSorted((a, b) => weight(b) - weight(a) || b.instructions - a.instructions)[0] ?? null;
}

/**
 * Kernel, variant and constants in words: "64x1" is 64 invocations in one team; zeros are left out.
 */
export function titleOf({ kernel, constants }: Pick<Verdict, "kernel" | "constants">): string {
  const { THREADS, TEAM, ...rest } = constants;
  const shape = THREADS === undefined ? [] : [TEAM === undefined ? `${THREADS}` : `${THREADS}x${THREADS / TEAM}`];
  const others = Object.entries(rest).filter(([, value]) => value !== 0);
  return [kernel, ...shape, ...others.map(([name, value]) => (value === 1 ? name : `${name}=${value}`))].join(" ");
}

export function tableOf(verdicts: readonly Verdict[]): string {
  const key = (one: Verdict): string => `${one.family} ${titleOf(one)}`;
  const inPages = new Map(verdicts.filter(({ checks }) => checks === "page").map((one) => [key(one), one]));
  const shown = verdicts.filter(({ checks }) => checks === "none");
  const rows = (shown.length > 0 ? shown : verdicts)
    .toSorted((a, b) => (titleOf(a) < titleOf(b) ? -1 : titleOf(a) > titleOf(b) ? 1 : 0))
    .map((one) => [titleOf(one), one.family, ...cells(one, shown.length > 0 ? inPages.get(key(one)) : undefined)]);
  const all = [["kernel", "family", ...COLUMNS], ...rows];
  const widths = all[0]!.map((_, i) => Math.max(...all.map((row) => row[i]!.length)));
  return all
    .map((row) =>
      row
        .map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function cells(one: Verdict, page: Verdict | undefined): string[] {
  const loop = mainLoop(one);
  const own = loop
    ? [
        loop.instructions,
        loop.valu,
        Math.round(loop.multiplyAdds),
        loop.loads,
        Math.round(loop.loadBytes),
        Math.round(loop.inFlight),
        `${loop.ldsReads}/${loop.ldsWrites}`,
      ]
    : Array.from({ length: 7 }, () => "-");
  const other = page ? mainLoop(page) : null;
  const more = loop && other ? (100 * (other.instructions / loop.instructions - 1)).toFixed(0) : "-";
  return [
    one.subgroup,
    one.registers,
    spillsOf(one, loop),
    one.ldsBytes,
    one.waves ?? "-",
    one.whole.instructions,
    ...own,
    page ? page.registers : "-",
    page ? spillsOf(page, other) : "-",
    more,
  ].map(String);
}

/** A verdict as results keep it: the main loop alone, without what is zero in it. */
export function rowOf(verdict: Verdict) {
  const { family, checks, subgroup, registers, spills, scratchBytes, ldsBytes, waves, cycles, whole } = verdict;
  const loop = Object.entries(mainLoop(verdict) ?? {}).filter(([, value]) => value !== 0);
  const figures = { registers, spills, scratchBytes, ldsBytes, waves, cycles, instructions: whole.instructions };
  return { family, checks, kernel: titleOf(verdict), subgroup, ...figures, loop: Object.fromEntries(loop) };
}

/** Spilled registers, and how often the loop reads or writes one. */
function spillsOf({ spills, scratchBytes }: Verdict, loop: Work | null): string {
  const all = spills || (scratchBytes > 0 ? `${scratchBytes} B` : 0);
  return loop && loop.spills > 0 ? `${all} (${loop.spills})` : `${all}`;
}
