// The recurrence and the convolution of linear attention against transformers' own functions:
// inputs of two digits, outputs of torch_recurrent_gated_delta_rule() (5.18) and of F.conv1d with
// silu.

import { describe, expect, it } from "vitest";
import { conv } from "../../kernels/conv.ts";
import { deltaFactors, deltaRule, FACTORS } from "../../kernels/delta_rule.ts";

const SHAPE = { keyHeads: 1, valueHeads: 2, keyDim: 4, valueDim: 3, tiled: false };
const [T, C, TAPS, VALUES] = [5, 14, 4, 6];
// biome-ignore format: numbers
const X = Float32Array.of(
  -0.08, 0.36, -0.78, 0.07, 0.66, -0.29, 1.62, -1.6, -0.05, -0.31, 0.25, -0.22, 0.91, 0.2, 0.57,
  0.42, 0.26, 0.93, -0.51, -1.65, 1.05, 0.52, -0.17, 0.05, 0.56, 2.26, 1.87, -1.2, 1.0, 0.46, 2.44,
  -0.15, -0.48, -0.29, -0.35, 0.35, 0.04, -0.07, 0.43, -0.87, -0.27, 0.14, 0.13, 0.68, -0.96, 0.06,
  0.66, 0.82, -0.46, 2.21, -0.38, -0.14, 0.65, -2.33, -1.03, 1.14, 0.72, 1.08, 1.73, -1.47, 1.14,
  2.06, -0.9, -1.89, 0.34, 0.5, 0.55, -0.26, -0.59, 0.87,
);
// biome-ignore format: numbers
const W = Float32Array.of(
  -1.39, -0.16, 0.32, 0.15, -0.62, -0.01, -0.35, -0.84, -0.69, -0.31, 0.52, -0.88, 0.56, 1.44,
  -0.21, -3.11, -0.26, 0.05, 0.66, 0.62, 0.45, 0.77, 1.57, 0.53, -1.24, -0.89, 1.17, 0.59, 0.78,
  0.4, -0.86, -0.21, -0.7, -2.63, -1.19, -0.14, 0.28, -0.77, 0.0, -0.58, 0.75, 1.47, -0.79, 1.05,
  1.29, 0.16, 1.18, -2.85, 0.96, -0.11, -0.41, -0.04, -0.53, 0.08, -1.16, -0.31,
);
// biome-ignore format: numbers
const GATES = Float32Array.of(
  -0.11, -0.71, -0.46, -0.86, -1.05, 0.33, 2.27, -1.29, 2.36, 1.5, 0.26, -1.25, -1.58, -0.68, 0.64,
  -0.03, -0.33, 1.98, 1.29, -0.43,
);
const A_LOG = Float32Array.of(-0.67, 0.24);
const DT_BIAS = Float32Array.of(0.36, 0.88);
// biome-ignore format: numbers
const CONVOLVED = Float32Array.of(
  -0.00596400024, -0.128511205, 0.456569642, -0.0970482454, 0.245886669, -0.0709556714,
  0.690355301, 0.195961431, 0.00351225003, 0.0979603007, 0.148378313, 0.408684164, -0.0178687964,
  -0.0300393067, 0.0308467355, -0.18315801, -0.219828174, -0.150607646, 0.0632598847, -0.278184116,
  2.32673454, 0.988350391, 0.0433837213, -0.0142897638, 0.232895374, -0.00823277608, -0.174618363,
  0.0748920292, 0.202098414, -0.198091641, -0.257595003, 0.220202491, -0.212866411, -0.145157933,
  -0.166477829, -0.276873499, 0.190789685, 0.159026325, 0.223343655, 5.08046722, -0.255238444,
  1.08691239, 0.211716518, -0.265769184, 2.38860583, 0.945175171, -0.0496119633, -0.276371688,
  -0.0941480026, -0.254936755, 0.302161604, -0.0215638801, 1.07562804, 5.67256117, 0.569100142,
  -0.235350564, -0.248394102, -0.276684791, -0.146059871, 4.82663631, 0.972618699, 1.13680005,
  -0.232902482, -0.26564163, 0.252337188, -0.0987683311, 0.840718687, 0.524441779, 2.05832076,
  -0.264488488,
);
// biome-ignore format: numbers
const OUT = Float32Array.of(
  0.000683460967, 0.0190624371, 0.0288734548, 0.0554720908, -0.00242539216, -0.00407733722,
  -0.00423122616, -0.00136487046, -0.0263191555, -0.00685797166, 0.0377142802, -0.015380187,
  -0.016722003, -0.0132454187, -0.0259110481, -0.369718045, 0.0281420015, -0.0827414393,
  -0.0342480838, -0.0198150501, -0.0588696413, -0.60661906, -0.0305671766, -0.0314209238,
  -0.0290615633, -0.00276713911, -0.0774118677, -0.322552592, -0.235685408, 0.0219915658,
);
// biome-ignore format: numbers
const STATE = Float32Array.of(
  0.0522744134, -0.0377468839, 0.204698831, 0.0613644309, -0.0340534747, 0.2119174, -0.0341906212,
  -0.00434119022, -0.0829969198, -0.0531486198, -0.00957924686, -0.135182187, 0.276633114,
  1.15581989, -0.168732867, 0.112133086, 1.3131845, -0.160122663, -0.342917204, -0.288611174,
  0.0218231976, -0.637023687, -0.346956432, 0.0269314256,
);

/** [taps, C], as the kernel takes it. */
const BY_TAP = Float32Array.from({ length: TAPS * C }, (_, i) => W[(i % C) * TAPS + Math.floor(i / C)]!);

/** Rows in steps of these sizes, over one state. */
const STEPS = [[5], [1, 1, 1, 1, 1], [2, 3]];

const far = (a: Float32Array, b: Float32Array): number => Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

describe("conv()", () => {
  it.each(STEPS.map((steps) => [steps]))("in steps of %j", (steps) => {
    const state = new Float32Array((TAPS - 1) * C);
    const y = new Float32Array(T * C);
    let from = 0;
    for (const n of steps) {
      const [x, into] = [X.subarray(from * C, (from + n) * C), y.subarray(from * C, (from + n) * C)];
      conv(x, false, BY_TAP, TAPS, state, into, 0, 5);
      conv(x, false, BY_TAP, TAPS, state, into, 5, C);
      from += n;
    }
    expect(far(y, CONVOLVED)).toBeLessThan(2e-6);
    expect(state).toEqual(X.subarray((T - TAPS + 1) * C));
  });
});

describe("deltaRule()", () => {
  it.each(STEPS.map((steps) => [steps]))("in steps of %j", (steps) => {
    const state = new Float32Array(STATE.length);
    const out = new Float32Array(T * VALUES);
    const factors = new Float32Array(T * SHAPE.valueHeads * FACTORS);
    deltaFactors(SHAPE, CONVOLVED, GATES, A_LOG, DT_BIAS, factors, 0, T);
    let from = 0;
    for (const n of steps) {
      const part = (all: Float32Array) => all.subarray((from * all.length) / T, ((from + n) * all.length) / T);
      for (const head of [0, 1]) deltaRule(SHAPE, part(CONVOLVED), part(factors), state, part(out), head);
      from += n;
    }
    expect(far(out, OUT)).toBeLessThan(2e-6);
    expect(far(state, STATE)).toBeLessThan(2e-6);
  });
});
