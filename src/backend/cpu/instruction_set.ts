// Finds the best build of the SIMD kernels for this engine, by validating and
// running 60-byte probes.

import type { MODULES } from "../../../kernels/wasm.ts";

export type InstructionSet = keyof typeof MODULES;

/**
 * Instruction sets that run here, best first; empty without SIMD or WebAssembly.
 */
export function instructionSets(): InstructionSet[] {
  if (typeof WebAssembly !== "object" || run(LANE32, splat(5)) !== 0x05050505) return [];
  // Two products a lane; V8 11.3 has the instructions behind a flag.
  const pairs = run(LANE16, [...splat(3), ...splat(7), ...DOT]) === 2 * 3 * 7;
  if (!pairs) return ["simd128"];
  // Four products: the result for a second factor of 255 identifies the instruction. It is unsigned
  // on x86, and clamped to int16 unless it is AVX-VNNI's; signed on Arm. V8 11.3 returns twice the
  // right sum: neither.
  const four = run(LANE32, [...splat(127), ...splat(255), ...splat(0), ...DOT_ADD]);
  if (four === 4 * 127 * 255 || four === -4 * 127) return ["relaxedWide", "relaxed", "simd128"];
  return four === 2 * 32767 ? ["relaxed", "relaxedWide", "simd128"] : ["relaxed", "simd128"];
}

let wide = false;

/**
 * Says that this engine makes 256 bits of two neighbouring operations of 128, which kernels then
 * have other loops for. No probe can tell: it is a flag of the process.
 */
export function setWide(): void {
  wide = true;
}

/** Whether setWide() was called. */
export function isWide(): boolean {
  return wide;
}

// Instructions: i32x4.extract_lane 0, i16x8.extract_lane_s 0,
// i16x8.relaxed_dot_i8x16_i7x16_s and i32x4.relaxed_dot_i8x16_i7x16_add_s.
const LANE32 = [0xfd, 0x1b, 0x00];
const LANE16 = [0xfd, 0x18, 0x00];
const DOT = [0xfd, 0x92, 0x02];
const DOT_ADD = [0xfd, 0x93, 0x02];

/**
 * i8x16.splat(value) of a value of 0..255: i32.const in two bytes of signed LEB128, then the splat.
 */
function splat(value: number): number[] {
  return [0x41, (value & 0x7f) | 0x80, value >> 7, 0xfd, 0x0f];
}

/**
 * The result of a function of these instructions, or null if the engine does not know one of them.
 */
function run(lane: readonly number[], vector: readonly number[]): number | null {
  const code = [0x00, ...vector, ...lane, 0x0b]; // no locals, body, end
  const binary = Uint8Array.of(
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // \0asm, version 1
    ...[0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7f], // type 0: () -> i32
    ...[0x03, 0x02, 0x01, 0x00], // function 0 has type 0
    ...[0x07, 0x05, 0x01, 0x01, 0x66, 0x00, 0x00], // exported as "f"
    ...[0x0a, code.length + 2, 0x01, code.length, ...code],
  );
  if (!WebAssembly.validate(binary)) return null;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(binary));
  return (exports.f as () => number)();
}
