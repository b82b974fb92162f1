// Words behind every buffer that kernels may write, which they must leave alone: the whole suite
// runs over such buffers.

import { expect } from "vitest";
import type { WebGpuOps } from "../../src/backend/webgpu/webgpu.ts";

const STORAGE = 0x80; // GPUBufferUsage.STORAGE
const COPY_DST = 0x8;
const MAP_READ = 0x1;
const WORDS = 64;
const CANARY = 0xdeadbeef;

/** Backends whose new buffers end in canaries. */
export interface Canaries {
  readonly guard: (ops: WebGpuOps) => WebGpuOps;
  /** Fails if one was overwritten, naming its buffer. */
  check(): Promise<void>;
}

export function canaries(): Canaries {
  const alive = new Map<GPUBuffer, { device: GPUDevice; at: number }>();
  const gone = new Set<GPUDevice>();
  return {
    guard(ops) {
      const { device } = ops;
      const create = device.createBuffer.bind(device);
      void device.lost.then(() => gone.add(device));
      device.createBuffer = (what) => {
        if ((what.usage & STORAGE) === 0) return create(what);
        const buffer = create({ ...what, size: what.size + 4 * WORDS });
        device.queue.writeBuffer(buffer, what.size, new Uint32Array(WORDS).fill(CANARY));
        alive.set(buffer, { device, at: what.size });
        const destroy = buffer.destroy.bind(buffer);
        buffer.destroy = () => {
          alive.delete(buffer);
          return destroy();
        };
        return buffer;
      };
      return ops;
    },
    async check() {
      for (const device of new Set([...alive.values()].map((own) => own.device))) {
        if (gone.has(device)) continue;
        const buffers = [...alive].filter(([, own]) => own.device === device);
        const staging = device.createBuffer({ size: buffers.length * 4 * WORDS, usage: MAP_READ | COPY_DST });
        const encoder = device.createCommandEncoder();
        for (const [i, [buffer, { at }]] of buffers.entries())
          encoder.copyBufferToBuffer(buffer, at, staging, i * 4 * WORDS, 4 * WORDS);
        device.queue.submit([encoder.finish()]);
        await staging.mapAsync(MAP_READ);
        const words = new Uint32Array(staging.getMappedRange());
        const dead = buffers.filter((_, i) => words.subarray(i * WORDS, (i + 1) * WORDS).some((w) => w !== CANARY));
        staging.destroy();
        expect(dead.map(([buffer]) => buffer.label)).toEqual([]);
      }
    },
  };
}
