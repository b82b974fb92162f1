// What AMD's compiler makes of the kernels, on a machine without a GPU: registers, spills, and what
// is on its way from memory at once.

import { beforeAll, describe, expect, it } from "vitest";
import { workOf } from "../../bench/isa/amd.ts";
import { type Judgement, judge, missing, parse } from "../../bench/isa/judge.ts";
import { mainLoop, titleOf } from "../../bench/isa/table.ts";
import { titled } from "../support/fixtures.ts";
import { HUNG } from "../support/patience.ts";

/** Registers of a lane that leave a SIMD unit at least eight subgroups to switch between. */
const MOST_REGISTERS = 128;

describe("bench/isa/amd.ts", () => {
  const loop = workOf(`
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

  it("counts the bytes of loads, and those on their way at once", () => {
    expect(loop.loops[0]).toMatchObject({ loadBytes: 28, inFlight: 24 });
  });
});

it("reads what driver.c writes", () => {
  const text = "executable 64\nstatistic VGPRs\t48\ntext 6 Assembly\nBB0:\n\n\n";
  const { subgroup, statistics, texts } = parse(Buffer.from(text));
  expect(subgroup).toBe(64);
  expect([...statistics]).toEqual([["VGPRs", 48]]);
  expect([...texts]).toEqual([["Assembly", "BB0:\n\n"]]);
});

const lacking = missing();
const left = lacking === null ? null : `skipped: this machine lacks ${lacking}`;
describe.skipIf(left)(titled("kernels on navi31", left), () => {
  const decode = ["matmul_vec", "qkv_vec", "route", "expert_up_vec", "expert_down_vec", "attention_split"];
  let verdicts: Judgement["verdicts"] = [];
  let refused: Judgement["refused"] = [];

  beforeAll(() => {
    ({ verdicts, refused } = judge(new URL("../../", import.meta.url), {
      model: "synthetic:mixtral-8x7b?layers=1",
      families: ["navi31"],
      checks: ["none", "page"],
      formats: ["q4"],
      arithmetics: ["f32", "int8"],
      reductions: ["subgroups"],
      tiles: ["shared64"],
      kernels: [...decode, "expert_up"],
      rows: [1],
    }));
  }, HUNG);

  it("are compiled, all of them", () => {
    expect(refused).toEqual([]);
    expect(new Set(verdicts.map(({ kernel }) => kernel.split(" ")[0]))).toEqual(new Set([...decode, "expert_up"]));
  });

  it("keep registers out of memory", () => {
    const spilled = verdicts.filter((one) => one.spilledVgprs + one.spilledSgprs + one.scratchBytes > 0);
    expect(spilled.map(titleOf)).toEqual([]);
  });

  it(`use at most ${MOST_REGISTERS} registers where they are for few rows`, () => {
    const many = verdicts.filter(
      ({ kernel, vgprs }) => decode.includes(kernel.split(" ")[0]!) && vgprs > MOST_REGISTERS,
    );
    // Its products of f32 weights take 20 loads at once.
    expect(many.filter(({ kernel }) => !kernel.startsWith("route ")).map(titleOf)).toEqual([]);
  });

  it("have all of a unit's loads on their way before they multiply", () => {
    const rows = verdicts.filter(({ kernel }) => /^(matmul|qkv|expert_\w+)_vec q4 f32 /.test(kernel));
    expect(rows.length).toBeGreaterThan(4);
    // A unit is 8 rows by 8 columns: 64 multiply-adds, of 36 bytes of weights in q4.
    for (const one of rows) {
      const { multiplyAdds, inFlight } = mainLoop(one)!;
      expect(inFlight, titleOf(one)).toBeGreaterThanOrEqual(36 * Math.floor(multiplyAdds / 64));
    }
  });
});
