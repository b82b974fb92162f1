// Reads AMD machine code as Mesa's RADV prints it: its loops, and what an iteration does.

import { type Work, type Works, worksOf } from "./work.ts";

interface Instruction {
  readonly name: string;
  /** All that follows the name. */
  readonly rest: string;
}

/** Blocks by label, in order: the index of their first instruction. */
interface Code {
  readonly instructions: readonly Instruction[];
  readonly labels: ReadonlyMap<string, number>;
}

/** Reads an assembly. */
export function amdWorks(assembly: string): Works {
  const { instructions, labels } = read(assembly);
  const jumps = instructions.flatMap(({ name, rest }, from) => {
    const to = /^s_c?branch/.test(name) ? labels.get(/BB\d+/.exec(rest)?.[0] ?? "") : undefined;
    return to === undefined ? [] : [{ from, to }];
  });
  return worksOf(instructions, jumps, count);
}

/** What only tells the hardware how instructions depend on each other. */
const HINT = /^s_(delay_alu|clause|nop)$/;

function read(assembly: string): Code {
  const instructions: Instruction[] = [];
  const labels = new Map<string, number>();
  for (const line of assembly.split("\n")) {
    const label = /^\s*(BB\d+):/.exec(line)?.[1];
    if (label !== undefined) {
      labels.set(label, instructions.length);
      continue;
    }
    const [, name, rest] = /^\s+([a-z][a-z0-9_]+)\b([^;]*)/.exec(line) ?? [];
    if (name !== undefined && !HINT.test(name)) instructions.push({ name, rest: rest ?? "" });
  }
  return { instructions, labels };
}

/** Bytes a lane of a load or store, by the ending of its name. */
const WIDTHS: readonly (readonly [RegExp, number])[] = [
  [/(dwordx4|b128)$/, 16],
  [/(dwordx3|b96)$/, 12],
  [/(dwordx2|b64)$/, 8],
  [/(dword|b32)$/, 4],
  [/(short|ushort|sshort|b16|u16|i16)(_d16)?(_hi)?$/, 2],
  [/(byte|ubyte|sbyte|b8|u8|i8)(_d16)?(_hi)?$/, 1],
];

/** Multiply-adds of an operation, by its name without "v_" and its encoding. */
const PRODUCTS: readonly (readonly [RegExp, number])[] = [
  [/^pk_(fma|fmac|mad)_/, 2],
  [/^dot2c?_/, 2],
  [/^dot4c?_/, 4],
  [/^dot8c?_/, 8],
  [/^(fma|fmac|fmaak|fmamk|mad|mac|madak|madmk)_(legacy_)?f(16|32)/, 1],
  [/^(fma|mad)_mix(lo|hi)?_/, 1],
  [/^mad_i32_i24/, 1], // of integers below 24 bits, where there are no dot products
  [/^wmma_\w+_16x16x16_/, (16 * 16 * 16) / 32], // of a subgroup of 32 lanes
];

const first = (table: readonly (readonly [RegExp, number])[], name: string): number =>
  table.find(([pattern]) => pattern.test(name))?.[1] ?? 0;

function productsOf({ name, rest }: Instruction): number {
  // Two operations that are issued together stand in one line, as `v_dual_a ... :: v_dual_b ...`.
  const names = [name, ...(/::\s*(v_dual_\w+)/.exec(rest)?.slice(1) ?? [])];
  return names.reduce((sum, one) => sum + first(PRODUCTS, one.replace(/^v_(dual_)?/, "")), 0);
}

const LOAD = /^(buffer|global|flat)_load/;
const LDS_READ = /^ds_(read|load)/;
const LDS_WRITE = /^ds_(write|store)/;

function count(code: readonly Instruction[], times: number): Work {
  const of = (pattern: RegExp): Instruction[] => code.filter(({ name }) => pattern.test(name));
  const loads = of(LOAD);
  return {
    instructions: code.length,
    valu: of(/^v_/).length,
    salu: of(
      /^s_(?!waitcnt|wait_|c?branch|barrier|buffer_load|load|nop|endpgm|clause|delay_alu|code_end|inst_prefetch)/,
    ).length,
    multiplyAdds: code.reduce((sum, one) => sum + productsOf(one), 0),
    loads: loads.length,
    loadBytes: loads.reduce((sum, { name }) => sum + first(WIDTHS, name), 0),
    inFlight: mostInFlight(code, times),
    scalarLoads: of(/^s_(buffer_)?load/).length,
    stores: of(/^(buffer|global|flat)_store/).length,
    spills: of(/^scratch_/).length,
    ldsReads: of(LDS_READ).length,
    ldsWrites: of(LDS_WRITE).length,
    waits: of(/^s_wait/).length,
    barriers: of(/^s_barrier/).length,
    branches: of(/^s_c?branch/).length,
  };
}

/**
 * The most bytes of loads that are on their way at once, in code that runs `times` times in turn.
 * Loads arrive in order; a wait says how many may be left.
 */
function mostInFlight(code: readonly Instruction[], times: number): number {
  const onTheWay: number[] = [];
  let most = 0;
  for (let i = 0; i < times; i++)
    for (const { name, rest } of code) {
      const left = /vmcnt\((\d+)\)/.exec(name === "s_waitcnt" ? rest : "");
      if (left) onTheWay.splice(0, Math.max(0, onTheWay.length - Number(left[1])));
      if (!LOAD.test(name)) continue;
      onTheWay.push(first(WIDTHS, name));
      most = Math.max(
        most,
        onTheWay.reduce((sum, bytes) => sum + bytes, 0),
      );
    }
  return most;
}
