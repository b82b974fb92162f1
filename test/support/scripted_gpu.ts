// A GPU whose times and faults a script says: Dawn's null backend, which checks all that it is
// given and computes nothing. A clock goes on by what each dispatch takes, so that whole tunings
// take as long as it takes to encode them. Every result is zeros, but for kernels that are wrong.

import { createWebGpuOps, type WebGpuOps, type WebGpuOptions } from "../../src/backend/webgpu/webgpu.ts";
import { alteredAdapter } from "./altered_adapter.ts";

/** A dispatch as scripts see it. */
export interface Dispatched {
  /** Kernel and variant in words, as "matmul_vec q4 f32 subgroups". */
  readonly kernel: string;
  readonly constants: Readonly<Record<string, number>>;
  /** Its workgroups. */
  readonly groups: number;
}

export interface Script {
  /** Milliseconds that a dispatch takes. */
  ms(dispatch: Dispatched): number;
  /** Whether its results are not what others compute; asked of the last one before a readback. */
  wrong?(dispatch: Dispatched): boolean;
}

export interface ScriptedGpu {
  readonly ops: WebGpuOps;
  /** Milliseconds since the beginning: what performance.now() is to say. */
  readonly now: number;
  /** Dispatches so far, in lists that each end with a readback. */
  readonly reads: readonly (readonly Dispatched[])[];
  /** Those since the last one. */
  readonly since: readonly Dispatched[];
}

const NVIDIA = { vendor: "nvidia", architecture: "hopper", device: "H200", isFallbackAdapter: false };
const MAP_READ = 0x1;

/** Of a shape of matrix units, as Dawn tells it. */
export interface MatrixShape {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/**
 * @param driver the driver's version
 * @param units shapes of its matrix units
 */
export async function scriptedGpu(
  script: Script,
  options: Omit<WebGpuOptions, "adapter"> & { readonly driver?: string; readonly units?: readonly MatrixShape[] },
): Promise<ScriptedGpu> {
  const { driver = "550.54", units = [], ...rest } = options;
  const { create } = await import("webgpu");
  const gpu: GPU = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
  const pipelines = new Map<GPUComputePipeline, Omit<Dispatched, "groups">>();
  const reads: Dispatched[][] = [];
  let since: Dispatched[] = [];
  let now = 0;

  /** What was computed by those since the last readback. */
  const fill = (words: Uint32Array): void => {
    if (since.some(({ kernel }) => kernel.startsWith("subgroup_places"))) words.set(words.map((_, i) => i));
    else words.fill(since.length > 0 && script.wrong?.(since.at(-1)!) ? 0x3f800000 : 0);
    reads.push(since);
    since = [];
  };
  const alter = (device: GPUDevice): GPUDevice => {
    const compile = device.createComputePipelineAsync.bind(device);
    device.createComputePipelineAsync = async (descriptor) => {
      const pipeline = await compile(descriptor);
      pipelines.set(pipeline, { kernel: descriptor.label ?? "", constants: { ...descriptor.compute.constants } });
      return pipeline;
    };
    const encoderOf = device.createCommandEncoder.bind(device);
    device.createCommandEncoder = (descriptor) => {
      const encoder = encoderOf(descriptor);
      const begin = encoder.beginComputePass.bind(encoder);
      encoder.beginComputePass = (passDescriptor) => {
        const pass = begin(passDescriptor);
        const [set, dispatch] = [pass.setPipeline.bind(pass), pass.dispatchWorkgroups.bind(pass)];
        let current: GPUComputePipeline | null = null;
        pass.setPipeline = (pipeline) => {
          current = pipeline;
          set(pipeline);
        };
        pass.dispatchWorkgroups = (x, y = 1, z = 1) => {
          const one = { ...pipelines.get(current!)!, groups: x * y * z };
          since.push(one);
          now += script.ms(one);
          dispatch(x, y, z);
        };
        return pass;
      };
      return encoder;
    };
    const bufferOf = device.createBuffer.bind(device);
    device.createBuffer = (descriptor) => {
      const buffer = bufferOf(descriptor);
      if ((descriptor.usage & MAP_READ) === 0) return buffer;
      const range = buffer.getMappedRange.bind(buffer);
      buffer.getMappedRange = (offset, size) => {
        const mapped = range(offset, size).slice();
        fill(new Uint32Array(mapped));
        return mapped;
      };
      return buffer;
    };
    return device;
  };
  const sizes = { subgroupMinSize: 32, subgroupMaxSize: 32, subgroupMatrixConfigs: units };
  const info = { ...NVIDIA, description: `NVIDIA H200: ${driver}`, ...sizes };
  const adapter = alteredAdapter((await gpu.requestAdapter())!, info, alter);
  const ops = await createWebGpuOps(gpu, { ...rest, adapter });
  return {
    ops,
    get now() {
      return now;
    },
    reads,
    get since() {
      return since;
    },
  };
}
