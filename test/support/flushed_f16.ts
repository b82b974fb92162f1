// A device that takes denormals of f16 for zero: a kernel's WGSL with every number in f16 flushed
// where it is read, made or packed.

import { openNodeGpu } from "../../src/backend/webgpu/device/node_gpu.ts";
import { createWebGpuOps, type WebGpuOps, type WebGpuOptions } from "../../src/backend/webgpu/webgpu.ts";
import { alteredAdapter } from "./altered_adapter.ts";

/** Words of f16, which every device has. */
const WORDS = `
fn unpacked(word: u32) -> vec2f {
  let x = unpack2x16float(word);
  return select(x, vec2f(), abs(x) < vec2f(6.103515625e-5));
}
fn packed(x: vec2f) -> u32 {
  return pack2x16float(select(x, vec2f(), abs(x) < vec2f(6.103515625e-5)));
}
`;
/** Numbers of f16. */
const NUMBERS = `
fn flushed2(x: vec2h) -> vec2h {
  return select(x, vec2h(), abs(x) < vec2h(6.103515625e-5));
}
fn flushed4(x: vec4h) -> vec4h {
  return select(x, vec4h(), abs(x) < vec4h(6.103515625e-5));
}
fn flushed_dot(a: vec2h, b: vec2h) -> f16 {
  let products = flushed2(a * b);
  return flushed2(vec2h(products.x + products.y)).x;
}
`;

/** The code with each `name(...)` as `by(name(...))`. */
function within(code: string, name: string, by: string): string {
  const [before, ...calls] = code.split(`${name}(`) as [string, ...string[]];
  const closed = calls.map((text) => {
    let [depth, end] = [1, 0];
    for (; depth > 0; end++) depth += Number(text[end] === "(") - Number(text[end] === ")");
    return `${by}(${name}(${text.slice(0, end)})${text.slice(end)}`;
  });
  return [before, ...closed].join("");
}

/** A kernel's WGSL as such a device runs it. */
export function withoutDenormals(code: string): string {
  const words = code.replaceAll("unpack2x16float(", "unpacked(").replaceAll("pack2x16float(", "packed(");
  if (!code.includes("enable f16;")) return words === code ? code : words + WORDS;
  const dots = words.replace(/\bdot\((?=levels2\(|vec2h\(|u\.[a-d]\b)/g, "flushed_dot(");
  const names = [
    ["vec2h", "flushed2"],
    ["vec4h", "flushed4"],
    ["bitcast<vec4h>", "flushed4"],
    ...(code.includes("alias Cell = vec4h;") ? ([["Cell", "flushed4"]] as const) : []),
  ] as const;
  return names.reduce((all, [name, by]) => within(all, name, by), dots) + WORDS + NUMBERS;
}

/** The backend on an adapter, as if it took denormals of f16 for zero. */
export async function openWithoutDenormals(name: string, options: WebGpuOptions): Promise<WebGpuOps> {
  const node = await openNodeGpu(name);
  const found = await node?.gpu.requestAdapter();
  if (!node || !found) throw new Error(`adapter ${name} could not be opened`);
  const adapter = alteredAdapter(found, {}, (device) => {
    const compile = device.createShaderModule.bind(device);
    device.createShaderModule = (shader) => compile({ ...shader, code: withoutDenormals(shader.code) });
    return device;
  });
  return createWebGpuOps(node.gpu, { ...options, adapter, onClose: () => void node.release() });
}
