// Subgroups of a size that no adapter here has: a kernel's WGSL with its subgroup built-ins
// written out over workgroup memory.

import { openNodeGpu } from "../../src/backend/webgpu/device/node_gpu.ts";
import { createWebGpuOps, type WebGpuOps, type WebGpuOptions } from "../../src/backend/webgpu/webgpu.ts";
import { alteredAdapter } from "./altered_adapter.ts";

/** What built-in values are for an invocation. A subgroup may be larger than the workgroup. */
const VALUES: Readonly<Record<string, string>> = {
  subgroup_id: "(invocation / SUBGROUP)",
  num_subgroups: "((THREADS + SUBGROUP - 1) / SUBGROUP)",
  subgroup_invocation_id: "(invocation % SUBGROUP)",
  subgroup_size: "SUBGROUP",
};

/**
 * What invocations tell each other lies in one half of `told`, by turns, so that a barrier a call
 * will do. A number of an invocation that is not in the subgroup is undefined: here one that no
 * test takes for right. What a compiler does not know, `told_sizes`, keeps it from unrolling loops.
 */
const functions = (size: number): string => `
const SUBGROUP = ${size}u;
var<private> invocation: u32;
var<private> half: u32;
var<workgroup> told_sizes: array<u32, 2>;
var<workgroup> told: array<vec4f, 2 * THREADS>;

fn tell(value: vec4f) {
  half = THREADS - half;
  told[half + invocation] = value;
  told_sizes[half / THREADS] = SUBGROUP;
  workgroupBarrier();
}
fn told_by(place: u32) -> vec4f {
  let at = invocation / SUBGROUP * SUBGROUP + place;
  return select(vec4f(1e30), told[half + min(at, THREADS - 1)], place < SUBGROUP && at < THREADS);
}
// Invocations of the subgroup that are in the workgroup.
fn told_size() -> u32 {
  return min(told_sizes[half / THREADS], THREADS - invocation / SUBGROUP * SUBGROUP);
}
fn elect() -> bool {
  return invocation % SUBGROUP == 0;
}
fn add(value: vec4f) -> vec4f {
  tell(value);
  var sum = vec4f();
  for (var place = 0u; place < told_size(); place++) {
    sum += told_by(place);
  }
  return sum;
}
fn most(value: vec4f) -> vec4f {
  tell(value);
  var top = told_by(0);
  for (var place = 1u; place < told_size(); place++) {
    top = max(top, told_by(place));
  }
  return top;
}
fn shuffle_xor(value: vec4f, mask: u32) -> vec4f {
  tell(value);
  return told_by((invocation % SUBGROUP) ^ mask);
}
fn broadcast(value: vec4f, place: u32) -> vec4f {
  tell(value);
  return told_by(place);
}
`;

const CALLS: Readonly<Record<string, string>> = {
  subgroupElect: "elect",
  subgroupAdd: "add",
  subgroupMax: "most",
  subgroupShuffleXor: "shuffle_xor",
  subgroupBroadcast: "broadcast",
};

/** Of what a call gives four numbers: as many as its first argument has, to go by its text. */
function taken(argument: string): string {
  if (/\.(xy|zw)\b/.test(argument)) return ".xy";
  return /^(one|own|select\(two|value\.squares)/.test(argument) ? ".x" : "";
}

/** The text of calls of built-ins by that of functions of four numbers. */
function withCalls(code: string): string {
  const call = /\b(subgroup[A-Z]\w*)\(/.exec(code);
  if (!call) return code;
  const name = CALLS[call[1]!];
  if (name === undefined) throw new Error(`${call[1]} is not written out in test/support/subgroups.ts`);
  const from = call.index + call[0].length;
  let [depth, to, comma] = [1, from, -1];
  for (; depth > 0; to++) {
    const letter = code[to];
    depth += Number(letter === "(") - Number(letter === ")");
    if (letter === "," && depth === 1) comma = to;
  }
  const first = code.slice(from, comma < 0 ? to - 1 : comma);
  const rest = code.slice(comma < 0 ? to - 1 : comma, to);
  const given = taken(first);
  const four = first === "" ? "" : given === ".xy" ? `(${first}).xyxy` : `vec4f(${first})`;
  return `${code.slice(0, call.index)}${name}(${four}${withCalls(rest)}${given}${withCalls(code.slice(to))}`;
}

/** A kernel's WGSL as a device runs it whose subgroups are `size` invocations in a row. */
export function withSubgroups(code: string, size: number): string {
  if (!code.includes("enable subgroups;")) return code;
  const names = new Map<string, string>();
  const plain = code
    .replace(/^enable subgroups;$|^requires subgroup_id;$/gm, "")
    .replace(/\/\/.*$/gm, "")
    .replace(/@builtin\((\w*subgroup\w*)\) (\w+): u32,/g, (_, builtin: string, name: string) => {
      names.set(name, VALUES[builtin]!);
      return "";
    })
    .replace(/\blane\.(\w+)/g, (text, name: string) => names.get(name) ?? text);
  // subgroup_places.wgsl has them as arguments of their own
  const values = plain.includes("struct Lane")
    ? "invocation = lane.index;"
    : `invocation = i;${[...names].map(([name, value]) => `let ${name} = ${value};`).join("")}`;
  const main = /(fn main\([\s\S]*?\) \{)/;
  return `${withCalls(plain).replace(main, (start) => `${start} ${values}`)}${functions(size)}`;
}

/** An adapter with subgroups, as if they had another size. */
export function withSize(found: GPUAdapter, size: number): GPUAdapter {
  return alteredAdapter(found, { subgroupMinSize: size, subgroupMaxSize: size }, (device) => {
    const compile = device.createShaderModule.bind(device);
    device.createShaderModule = (shader) => compile({ ...shader, code: withSubgroups(shader.code, size) });
    return device;
  });
}

/** The backend on such an adapter. */
export async function openWithSubgroups(name: string, size: number, options: WebGpuOptions): Promise<WebGpuOps> {
  const node = await openNodeGpu(name);
  const found = await node?.gpu.requestAdapter();
  if (!node || !found) throw new Error(`adapter ${name} could not be opened`);
  const adapter = withSize(found, size);
  return createWebGpuOps(node.gpu, { ...options, adapter, onClose: () => void node.release() });
}
