// A host for openModel() whose GPU counts what is allocated on it, by itself: not what the
// backend says of itself; and which may be given other shaders than the backend's, as if it
// compiled them otherwise.

import { startNodeWorker } from "../../src/backend/cpu/node_threads.ts";
import { openNodeGpu } from "../../src/backend/webgpu/device/node_gpu.ts";
import { openChat } from "../../src/chat/conventions.ts";
import { nodeFolderOrFile } from "../../src/weights/node_files.ts";
import type { Platform } from "../../src/wiring/open.ts";

export interface WatchedGpu {
  readonly platform: Platform;
  /** The device of the last model that was opened. */
  readonly device: GPUDevice;
  /** Most bytes of buffers that existed at once. */
  readonly peak: number;
  /** Called before each buffer is made; may throw. */
  onBuffer: (label: string | undefined, bytes: number) => void;
  /** Gives the code that is compiled instead of a shader's. */
  onShader: (code: string) => string;
  /** Gives what the compiler says instead of what it said. */
  onMessage: (message: string) => string;
  /** What is remembered of kernels, by name. */
  readonly remembered: Map<string, string>;
}

/** @param adapter name of the adapter to open */
export function watchedGpu(adapter: string): WatchedGpu {
  let device: GPUDevice | null = null;
  let bytes = 0;
  let peak = 0;
  const remembered = new Map<string, string>();
  const watch = (made: GPUDevice): GPUDevice => {
    device = made;
    const create = made.createBuffer.bind(made);
    made.createBuffer = (descriptor) => {
      watched.onBuffer(descriptor.label, descriptor.size);
      const buffer = create(descriptor);
      bytes += descriptor.size;
      peak = Math.max(peak, bytes);
      const destroy = buffer.destroy.bind(buffer);
      let there = true;
      buffer.destroy = () => {
        if (there) bytes -= descriptor.size;
        there = false;
        return destroy();
      };
      return buffer;
    };
    const shader = made.createShaderModule.bind(made);
    made.createShaderModule = (descriptor) => {
      const module = shader({ ...descriptor, code: watched.onShader(descriptor.code) });
      const info = module.getCompilationInfo.bind(module);
      module.getCompilationInfo = async () => {
        const messages = (await info()).messages.map(({ type, lineNum, message }) => ({
          type,
          lineNum,
          message: watched.onMessage(message),
        }));
        return { messages } as unknown as GPUCompilationInfo;
      };
      return module;
    };
    return made;
  };
  /** The object with one method of its own. */
  const instead = <T extends object, K extends keyof T>(target: T, name: K, method: T[K]): T =>
    new Proxy(target, {
      get(object, key) {
        if (key === name) return method;
        const value: unknown = Reflect.get(object, key, object);
        return typeof value === "function" ? value.bind(object) : value;
      },
    });
  const platform: Platform = {
    files: nodeFolderOrFile,
    async gpu(name) {
      const opened = await openNodeGpu(name ?? adapter);
      if (!opened) return null;
      const gpu = instead(opened.gpu, "requestAdapter", async (options?: GPURequestAdapterOptions) => {
        const found = await opened.gpu.requestAdapter(options);
        return found && instead(found, "requestDevice", async (wanted) => watch(await found.requestDevice(wanted)));
      });
      return { gpu, software: opened.software, release: () => opened.release() };
    },
    mayHaveGpu: true,
    ram: 2 ** 30,
    cpuName: "test",
    cores: 2,
    tuning: {
      read: async (name) => remembered.get(name) ?? null,
      write: async (name, text) => void remembered.set(name, text),
    },
    spill: () => null,
    chat: openChat,
    identity: (where) => where,
    startWorker: startNodeWorker,
  };
  const watched: WatchedGpu = {
    platform,
    get device() {
      return device!;
    },
    get peak() {
      return peak;
    },
    onBuffer() {},
    onShader: (code) => code,
    onMessage: (message) => message,
    remembered,
  };
  return watched;
}
