// f16 and bf16 conversions: every pattern, and the rounding cases where implementations differ.

import { describe, expect, it } from "vitest";
import {
  areFinite,
  bfloatToFloats,
  HALF_TO_FLOAT,
  halfToFloats,
  toFiniteBfloat,
  toHalf,
} from "../../src/tensor/half.ts";
import { uniform } from "../support/random.ts";

/** The value of an f16 pattern by IEEE 754's formula. */
function meaning(half: number): number {
  const [sign, exponent, fraction] = [half >>> 15 ? -1 : 1, (half >>> 10) & 31, half & 1023];
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? (sign * fraction) / 2 ** 24 : (sign * (1024 + fraction) * 2 ** exponent) / 2 ** 25;
}

describe("f16", () => {
  it("gives every one of the 65,536 patterns its value, and takes it back", () => {
    const wrong: number[] = [];
    for (let half = 0; half < 65536; half++) {
      const value = HALF_TO_FLOAT[half]!;
      const back = toHalf(value);
      const same = Number.isNaN(value) ? Number.isNaN(HALF_TO_FLOAT[back]!) : back === half;
      if (!Object.is(value, meaning(half)) || !same) wrong.push(half);
    }
    expect(wrong).toEqual([]);
  });

  it("rounds the middle between two neighbours to the even one, and either side of it to the nearer", () => {
    const wrong: number[] = [];
    for (let half = 0; half < 0x7bff; half++) {
      const middle = (meaning(half) + meaning(half + 1)) / 2; // exact in f32
      const even = half % 2 === 0 ? half : half + 1;
      const step = middle * 2 ** -20; // a few units of f32
      const ok = [1, -1].every(
        (sign) =>
          (toHalf(sign * middle) & 0x7fff) === even &&
          (toHalf(sign * (middle - step)) & 0x7fff) === half &&
          (toHalf(sign * (middle + step)) & 0x7fff) === half + 1,
      );
      if (!ok) wrong.push(half);
    }
    expect(wrong).toEqual([]);
  });

  it.each([
    [65504, 0x7bff],
    [65519.99, 0x7bff],
    [65520, 0x7c00], // the middle between the largest f16 and the next power of two is infinity
    [1e30, 0x7c00],
    [-1e30, 0xfc00],
    [Number.POSITIVE_INFINITY, 0x7c00],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000], // half the smallest subnormal: a tie to even zero
    [2 ** -25 * 1.0001, 0x0001],
    [1e-30, 0x0000],
    [0, 0x0000],
    [-0, 0x8000],
    [-1e-30, 0x8000],
    [6.097555160522461e-5, 0x03ff],
    [6.103515625e-5, 0x0400],
  ])("%d is 0x%x", (value, bits) => {
    expect(toHalf(value)).toBe(bits);
  });

  it("keeps NaN a NaN, converts arrays", () => {
    expect(HALF_TO_FLOAT[toHalf(Number.NaN)]).toBeNaN();
    const out = new Float32Array(4);
    halfToFloats(Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001), out);
    expect(out).toEqual(Float32Array.of(1, -2, 65504, 2 ** -24));
  });

  it.each([
    ["f16", halfToFloats, 0x7c00],
    ["bf16", bfloatToFloats, 0x7f80],
  ] as const)("is found not finite where one of many is: %s", (_, convert, infinity) => {
    const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
    const finite = all.filter((bits) => (bits & infinity) !== infinity);
    expect(convert(finite, new Float32Array(65536))).toBe(true);
    for (const bad of [infinity, infinity | 0x8000, infinity | 1, 0xffff])
      for (const at of [0, 700, finite.length - 1])
        expect(convert(finite.with(at, bad), new Float32Array(65536))).toBe(false);
  });
});

describe("bf16", () => {
  it("is the upper half of an f32, at any offset of the destination", () => {
    const values = uniform(64, 1, 1e3);
    const upper = Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16);
    const out = new Float32Array(66);
    bfloatToFloats(upper, out.subarray(1, 65));
    const want = new Float32Array(Uint32Array.from(upper, (bits) => bits << 16).buffer);
    expect(out.subarray(1, 65)).toEqual(want);
    expect([out[0], out[65]]).toEqual([0, 0]);
  });

  it.each([0, 1])("converts bfloat16 from element %i of a buffer, and in place, and tells what is not finite", (at) => {
    for (const n of [6, 7]) {
      const bits = Array.from({ length: n }, (_, i) => (0x3f81 + 0x4123 * i) & 0xff7f);
      const expected = bits.map((half) => {
        const view = new DataView(new ArrayBuffer(4));
        view.setUint32(0, half * 65536);
        return view.getFloat32(0);
      });
      const from = new Uint16Array(n + 1).subarray(at, at + n);
      from.set(bits);
      const apart = new Float32Array(n);
      expect(bfloatToFloats(from, apart)).toBe(true);
      expect([...apart]).toEqual(expected);
      const into = new Float32Array(n);
      const end = new Uint16Array(into.buffer, 2 * n, n);
      end.set(bits);
      expect(bfloatToFloats(end, into)).toBe(true);
      expect([...into]).toEqual(expected);
      for (let i = 0; i < n; i++)
        for (const broken of [0x7f80, 0xff80, 0x7fc0]) {
          from.set(bits);
          from[i] = broken;
          expect(bfloatToFloats(from, apart)).toBe(false);
        }
    }
  });
});

describe("toFiniteBfloat", () => {
  const floatOf = (bits: number) => {
    const into = new Float32Array(1);
    bfloatToFloats(Uint16Array.of(bits), into);
    return into[0]!;
  };

  it("gives every finite pattern back, and rounds the middle of two neighbours to the even one", () => {
    const wrong: number[] = [];
    for (let bits = 0; bits < 0x7f7f; bits++) {
      const [one, next] = [floatOf(bits), floatOf(bits + 1)];
      const middle = one / 2 + next / 2;
      const even = bits % 2 === 0 ? bits : bits + 1;
      const near = middle * 2 ** -20;
      // Of subnormal numbers f32 has no values so near the middle.
      const sides =
        bits < 0x0100 || (toFiniteBfloat(middle - near) === bits && toFiniteBfloat(middle + near) === bits + 1);
      const same = toFiniteBfloat(one) === bits && toFiniteBfloat(-one) === (bits | 0x8000);
      if (!same || toFiniteBfloat(middle) !== even || !sides) wrong.push(bits);
    }
    expect(wrong).toEqual([]);
  });

  it("has the largest bf16 for larger values", () => {
    expect([toFiniteBfloat(3.4e38), toFiniteBfloat(-3.4028234663852886e38)]).toEqual([0x7f7f, 0xff7f]);
  });
});

describe("areFinite", () => {
  it.each(["F16", "BF16"] as const)("tells every pattern of %s, at any place", (dtype) => {
    const into = new Float32Array(1);
    const toFloats = dtype === "F16" ? halfToFloats : bfloatToFloats;
    const wrong: number[] = [];
    for (let bits = 0; bits < 65536; bits++) {
      const finite = toFloats(Uint16Array.of(bits), into);
      const zeros = new Uint16Array(5);
      for (let at = 0; at < zeros.length; at++) {
        const one = zeros.slice();
        one[at] = bits;
        if (areFinite(dtype, one) !== finite || areFinite(dtype, one.subarray(1)) !== (finite || at === 0))
          wrong.push(bits);
      }
    }
    expect(wrong).toEqual([]);
  });
});
