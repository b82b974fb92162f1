// The kernels' pipelines, each compiled once, and the error of a variant that a device
// does not compile.

import { DeviceError } from "../../../errors.ts";
import { type Device, words } from "../device/device.ts";
import { assemble, type Shader, type Variant } from "./shader.ts";
import type { KernelName } from "./table.ts";

/** A variant of a kernel that the device does not compile. Another may do. */
export class VariantError extends DeviceError {
  /** In words, as "matmul_vec q4 f16 tree". */
  readonly kernel: string;
  readonly variant: Variant;

  constructor(name: KernelName, variant: Variant, message: string) {
    super(message);
    this.kernel = nameOf(name, variant);
    this.variant = variant;
  }
}

export interface Pipeline {
  ready: GPUComputePipeline | null;
  /** @throws VariantError, DeviceError */
  readonly made: Promise<GPUComputePipeline>;
}

interface Module {
  readonly gpu: GPUShaderModule;
  readonly shader: Shader;
  /** What an error scope around its creation has caught; null for nothing. */
  readonly refused: Promise<string | null>;
}

export class Pipelines {
  readonly #device: Device;
  readonly #modules = new Map<string, Module>();
  readonly #pipelines = new Map<string, Pipeline>();

  constructor(device: Device) {
    this.#device = device;
  }

  /**
   * The pipeline of a kernel in a variant that says all, with these override constants; it may
   * still be compiling.
   */
  get(name: KernelName, variant: Variant, constants: Record<string, number>, layout: GPUBindGroupLayout): Pipeline {
    const key = `${nameOf(name, variant)} ${Object.values(constants)}`;
    let pipeline = this.#pipelines.get(key);
    if (!pipeline) {
      pipeline = { ready: null, made: this.#compile(name, variant, constants, layout) };
      pipeline.made.catch(() => {}); // thrown by the read() that needs it
      this.#pipelines.set(key, pipeline);
      this.#device.counters.pipelinesCreated++;
    }
    return pipeline;
  }

  #module(name: KernelName, variant: Variant): Module {
    const kernel = nameOf(name, variant);
    let module = this.#modules.get(kernel);
    if (!module) {
      const shader = assemble(name, variant);
      const { result, refused } = this.#caught((gpu) => gpu.createShaderModule({ label: name, code: shader.code }));
      module = { gpu: result, shader, refused };
      this.#modules.set(kernel, module);
    }
    return module;
  }

  async #compile(
    name: KernelName,
    variant: Variant,
    constants: Record<string, number>,
    layout: GPUBindGroupLayout,
  ): Promise<GPUComputePipeline> {
    const module = this.#module(name, variant);
    const { reduce, ...rest } = variant;
    const own = module.shader.reduces ? variant : rest;
    const { result, refused } = this.#caught((gpu) =>
      gpu.createComputePipelineAsync({
        label: nameOf(name, own),
        layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module: module.gpu, entryPoint: "main", constants },
      }),
    );
    let why: string | null;
    try {
      const pipeline = await this.#device.track(result);
      why = (await module.refused) ?? (await refused); // implementations that only tell there
      if (why === null) return pipeline;
    } catch (error) {
      why = (await module.refused) ?? (error instanceof Error ? error.message : String(error));
    }
    this.#device.check();
    const said = (await found(module)) ?? `kernels/${name}.wgsl: no pipeline: ${words(why)}`;
    throw new VariantError(name, own, said);
  }

  /**
   * Creates something in error scopes of its own: what is wrong with one variant must not fail the
   * next step.
   */
  #caught<T>(create: (gpu: GPUDevice) => T): { readonly result: T; readonly refused: Promise<string | null> } {
    const { gpu } = this.#device;
    const scopes = ["internal", "out-of-memory", "validation"] as const;
    for (const scope of scopes) gpu.pushErrorScope(scope);
    let result: T;
    const refused: Promise<string | null>[] = [];
    try {
      result = create(gpu);
    } finally {
      for (const _ of scopes)
        refused.push(
          this.#device.track(gpu.popErrorScope()).then(
            (error) => error?.message ?? null,
            () => null, // of a lost device, which is reported by check() and wait()
          ),
        );
    }
    return { result, refused: Promise.all(refused).then((all) => all.find((message) => message !== null) ?? null) };
  }
}

/**
 * What the compiler found wrong in a module, with the places in our files; null where it
 * does not say.
 */
async function found({ gpu, shader }: Module): Promise<string | null> {
  const info = await gpu.getCompilationInfo?.().catch(() => null); // early implementations lack it
  const errors = (info?.messages ?? []).filter(({ type }) => type === "error");
  if (errors.length === 0) return null;
  return errors.map(({ lineNum, message }) => `kernels/${shader.origin(lineNum)}: ${words(message)}`).join("; ");
}

/** A kernel in one of its variants, in words. */
export function nameOf(
  name: KernelName,
  {
    weights,
    second,
    third,
    kv,
    registers,
    arithmetic,
    reduce,
    few,
    tile,
    tile_size,
    cell,
    activation,
    biases,
  }: Variant,
): string {
  return [
    name,
    weights,
    second,
    third,
    arithmetic,
    kv && `kv ${kv}`,
    registers && `${registers} registers`,
    few,
    reduce,
    tile,
    tile_size,
    cell,
    activation,
    biases && "biased",
  ]
    .filter(Boolean)
    .join(" ");
}
