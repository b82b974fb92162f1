// What AMD's compiler makes of the kernels, on a machine without a GPU: registers, spills, and what
// is on its way from memory at once.

import { beforeAll, describe, expect, it } from "vitest";
import { amdWorks } from "../../bench/isa/amd.ts";
import { intelWorks } from "../../bench/isa/intel.ts";
import { type Checks, type Judgement, judge, missing, parse } from "../../bench/isa/judge.ts";
import { mainLoop, titleOf } from "../../bench/isa/table.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { HUNG } from "../support/patience.ts";

/** Registers of a lane that leave a SIMD unit at least eight subgroups to switch between. */
const MOST_REGISTERS = 128;
/** Instructions of a tile's loop with the checks of a page, over those without. */
const MOST_IN_PAGES = 1.1;

describe("bench/isa/amd.ts", () => {
  const loop = amdWorks(`
BB0:
	s_mov_b32 s0, 0                                             ; be800080
BB1:
	s_cbranch_scc1 BB4                                          ; bfa20229
BB2:
	s_clause 0x1                                                ; bf850001
	buffer_load_b128 v[12:15], v11, s[16:19], 0 offen           ; e05c0000 80440c0b
	buffer_load_b64 v[16:17], v11, s[16:19], 0 offen offset:16  ; e05c0010 8044100b
	s_waitcnt vmcnt(1)                                          ; bf894bf7
	v_dual_fmac_f32 v92, v18, v18 :: v_dual_mul_f32 v3, v4, v5  ; 56b82512
	global_load_dword v1, v[2:3], off                           ; dc508000
	v_dot4_i32_iu8 v1, v2, v3, v4                               ; cc164001
	ds_load_b128 v[1:4], v5                                     ; dbfc0000
	s_waitcnt vmcnt(0) lgkmcnt(0)                               ; bf8903f7
	s_branch BB1                                                ; bfa0fff4
BB4:
	buffer_store_b32 v1, v2, s[0:3], 0 offen                    ; e0680000
	s_endpgm                                                    ; bfb00000
`);

  it("finds the inner loop and counts an iteration", () => {
    expect(loop.loops.length).toBe(1);
    expect(loop.loops[0]).toMatchObject({
      instructions: 10,
      valu: 2,
      multiplyAdds: 5,
      loads: 3,
      ldsReads: 1,
      waits: 2,
    });
    expect(loop.whole).toMatchObject({ instructions: 13, stores: 1, branches: 2 });
  });

  it("keeps a loop within another one apart", () => {
    const { loops } = amdWorks(
      ["BB0:", "\tv_fma_f32 v0", "BB1:", "\tv_mul_f32 v0", "\ts_branch BB1", "\ts_branch BB0"].join("\n"),
    );
    expect(loops.map(({ instructions, multiplyAdds }) => [instructions, multiplyAdds])).toEqual([
      [2, 1],
      [2, 0],
    ]);
  });

  it("counts the bytes of loads, and those on their way at once", () => {
    expect(loop.loops[0]).toMatchObject({ loadBytes: 28, inFlight: 24 });
  });
});

describe("bench/isa/intel.ts", () => {
  const works = intelWorks(
    `
mov(16)         g46<1>UD        0x00000000UD                    { align1 1H };

LABEL4:
cmp.ge.f0.0(16) null<1>UD       g34<8,8,1>UD    g28<0,1,0>UD    { align1 1H };
(+f0.0) break(16) JIP:  LABEL3        UIP:  LABEL3              { align1 1H };
send(16)        g2UD            g78UD           nullUD          0x04805001                0x00000000
                            dp data 1 MsgDesc: (untyped surface read, Surface = 1, SIMD16, Mask = 0x0)  mlen 2 ex_mlen 0 rlen 8 { align1 1H $3 };
send(16)        g10UD           g32UD           nullUD          0x04805004                0x00000000
                            ugm MsgDesc: ( load, a32, d32, V2, L1STATE_L3MOCS dst_len = 4, src0_len = 2, src1_len = 0 bti )  BTI 1  base_offset 0  { align1 1H $5 };
shr(16)         g84<1>UD        g2<8,8,1>UD     0x00000004UD    { align1 1H $3.dst compacted };
send(16)        g1UD            g49UD           nullUD          0x048050fe                0x00000000
                            dp data 1 MsgDesc: (untyped surface read, Surface = 254, SIMD16, Mask = 0x0)  mlen 2 ex_mlen 0 rlen 8 { align1 1H @4 $12 };
send(8)         g9UD            g1UD            nullUD          0x048050fd                0x00000000
                            data MsgDesc: (DC OWORD block read, bti 253, owords = 2, aligned = 0)  mlen 1 ex_mlen 0 rlen 1 { align1 WE_all 1Q $2 };
sync nop(1)                     null<0,1,0>UB                   { align1 WE_all 1N $2.src };
mad(16)         g94<1>F         g92<8,8,1>F     g14<8,8,1>F     g84<1,1,1>F { align1 1H @1 $5.dst compacted };
mad(8)          g94<1>F         g92<8,8,1>F     g14<8,8,1>F     g84<1,1,1>F { align1 1Q };
dp4a(16)        g94<1>D         g92<8,8,1>D     g14<8,8,1>D     g84<1,1,1>D { align1 1H };
while(16)       JIP:  LABEL4                                    { align1 1H };

LABEL3:
endif(16)       JIP:  LABEL6                                    { align1 1H };
`,
    16,
  );

  it("finds the inner loop and counts an iteration, a lane", () => {
    expect(works.loops.length).toBe(1);
    expect(works.loops[0]).toMatchObject({
      instructions: 12,
      valu: 5,
      multiplyAdds: 5.5,
      ldsReads: 1,
      spills: 1,
      waits: 1,
    });
  });

  it("counts the bytes of loads, and those on their way at once, before and since LSC", () => {
    expect(works.loops[0]).toMatchObject({ loads: 2, loadBytes: 24, inFlight: 24, scalarLoads: 0 });
  });
});

it("reads what driver.c writes", () => {
  const text = "executable 64\nstatistic VGPRs\t48\ntext 6 Assembly\nBB0:\n\n\n";
  const { subgroup, statistics, texts } = parse(Buffer.from(text));
  expect(subgroup).toBe(64);
  expect([...statistics]).toEqual([["VGPRs", 48]]);
  expect([...texts]).toEqual([["Assembly", "BB0:\n\n"]]);
});

const lacking = missing("navi31");
const left = leftToCi ?? (lacking === null ? null : `skipped: this machine lacks ${lacking}`);
describe.skipIf(left)(titled("kernels on navi31", left), () => {
  let verdicts: Judgement["verdicts"] = [];
  let refused: Judgement["refused"] = [];
  /** Those whose first name matches, without the checks of a page or with them. */
  const those = (name: RegExp, checks: Checks = "none") =>
    verdicts.filter((one) => one.checks === checks && name.test(one.kernel));
  /** For few rows. */
  const DECODE = /^(\w+_(vec|few)|route|attention_(split|reduce)) /;
  /** For many rows, by tiles. */
  const TILES = /^(matmul|expert_up|expert_down) /;

  beforeAll(() => {
    ({ verdicts, refused } = judge(new URL("../../", import.meta.url), {
      model: "synthetic:mixtral-8x7b?layers=1",
      families: ["navi31"],
      checks: ["none", "page"],
      formats: ["q4"],
      arithmetics: ["f32", "int8"],
      reductions: ["subgroups"],
      tiles: ["shared64"],
      kernels: [],
      rows: [1, 4, 16],
    }));
  }, HUNG);

  it("are compiled, all of them", () => {
    expect(refused).toEqual([]);
    expect(those(DECODE).length).toBeGreaterThan(8);
    expect(those(TILES).length).toBeGreaterThan(2);
  });

  it("keep registers out of memory", () => {
    const spilled = verdicts.filter((one) => one.spills + one.scratchBytes > 0);
    expect(spilled.map(titleOf)).toEqual([]);
  });

  it(`use at most ${MOST_REGISTERS} registers where they are for few rows`, () => {
    const many = those(DECODE).filter(({ registers }) => registers > MOST_REGISTERS);
    expect(many.map(titleOf)).toEqual([]);
  });

  it("use no more in attention where eight heads share a key", { timeout: HUNG }, () => {
    const judged = judge(new URL("../../", import.meta.url), {
      model: "synthetic:mixtral-8x7b?layers=1&num_key_value_heads=4",
      families: ["navi31"],
      checks: ["none"],
      formats: ["q4"],
      arithmetics: ["f32"],
      reductions: ["subgroups"],
      tiles: [],
      kernels: ["attention_split"],
      rows: [1],
    });
    expect(judged.verdicts.map(({ constants }) => constants.FOURS)).toEqual([2]);
    for (const { registers, spills } of judged.verdicts) {
      expect(registers).toBeLessThanOrEqual(MOST_REGISTERS);
      expect(spills).toBe(0);
    }
  });

  it("have two units of weights on their way before they multiply", () => {
    const rows = those(/^\w+_vec q4 f32 /);
    expect(rows.length).toBeGreaterThan(3);
    // A unit is 8 rows by 8 columns: 64 multiply-adds, of 36 bytes of weights in q4.
    for (const one of rows) {
      const { multiplyAdds, inFlight } = mainLoop(one)!;
      expect(multiplyAdds, titleOf(one)).toBeGreaterThanOrEqual(2 * 64);
      expect(inFlight, titleOf(one)).toBeGreaterThanOrEqual(2 * 36);
    }
  });

  it(`take at most ${MOST_IN_PAGES} of the instructions in a tile's loop with the checks of a page`, () => {
    for (const one of those(TILES)) {
      const page = those(TILES, "page").find((other) => titleOf(other) === titleOf(one))!;
      const ratio = mainLoop(page)!.instructions / mainLoop(one)!.instructions;
      expect(ratio, titleOf(one)).toBeLessThanOrEqual(MOST_IN_PAGES);
    }
  });
});

const noIntel = missing("tgl");
const leftIntel = noIntel === null ? leftToCi : `skipped: this machine lacks ${noIntel}`;
describe.skipIf(leftIntel)(titled("kernels on Intel's tgl", leftIntel), () => {
  const judged = (wanted: Partial<Parameters<typeof judge>[1]>): Judgement =>
    judge(new URL("../../", import.meta.url), {
      model: "synthetic:mixtral-8x7b?layers=1",
      families: ["tgl"],
      checks: ["none"],
      formats: ["q4", "q6_k"],
      arithmetics: ["f32", "int8"],
      reductions: ["subgroups"],
      tiles: [],
      kernels: [],
      rows: [],
      ...wanted,
    });

  it("are compiled, and keep registers out of memory where they are for one row", { timeout: HUNG }, () => {
    const { adapters, verdicts, refused } = judged({
      kernels: ["matmul_vec", "qkv_vec", "expert_up_vec", "expert_down_vec", "route"],
      rows: [1],
    });
    expect([adapters.tgl, refused]).toEqual([expect.stringMatching(/Intel/), []]);
    expect(verdicts.length).toBeGreaterThan(10);
    const spilled = verdicts.filter((one) => one.spills + one.scratchBytes > 0);
    expect(spilled.map(titleOf)).toEqual([]);
    const products = verdicts.filter(({ kernel }) => /_vec q\w+ f32/.test(kernel));
    for (const one of products) expect(mainLoop(one)!.multiplyAdds, titleOf(one)).toBeGreaterThanOrEqual(64);
    expect(new Set(verdicts.map(({ subgroup }) => subgroup))).toEqual(new Set([16]));
  });

  /** Registers to memory and back, in what is computed again and again. */
  const inLoop = (one: Judgement["verdicts"][number]): number => mainLoop(one)!.spills;

  it("keep them out of the loops for a few rows in int8, of attention and of tiles, and few in f32", {
    timeout: HUNG,
  }, () => {
    const { verdicts, refused } = judged({
      kernels: ["matmul_few", "qkv_few", "expert_up_few", "expert_down_few", "attention_split", "matmul"],
      tiles: ["shared64"],
      rows: [4],
    });
    expect(refused).toEqual([]);
    expect(verdicts.length).toBeGreaterThan(15);
    const some = verdicts.filter((one) => inLoop(one) > 0);
    expect(some.filter(({ kernel }) => !/_few q\w+ f32/.test(kernel)).map(titleOf)).toEqual([]);
    for (const one of some) expect(inLoop(one), titleOf(one)).toBeLessThanOrEqual(14);
    const attention = verdicts.filter(({ kernel }) => /^attention_split /.test(kernel));
    expect(attention.length).toBeGreaterThan(0);
    // In all of its loops, of which that over tiles has others within it.
    for (const one of attention)
      expect(
        one.loops.reduce((sum, { spills }) => sum + spills, 0),
        titleOf(one),
      ).toBeLessThanOrEqual(64);
  });
});
