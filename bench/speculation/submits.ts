// Counts what a WebGPU implementation is given to compute.

export interface Submits {
  count: number;
}

/** Counts the submits of every device that is requested of `gpu` from now on. */
export function countSubmits(gpu: GPU): Submits {
  const submits: Submits = { count: 0 };
  const requestAdapter = gpu.requestAdapter.bind(gpu);
  gpu.requestAdapter = async (options) => {
    const adapter = await requestAdapter(options);
    if (!adapter) return null;
    const requestDevice = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (descriptor) => {
      const device = await requestDevice(descriptor);
      const { queue } = device;
      const submit = queue.submit.bind(queue);
      queue.submit = (buffers) => {
        submits.count++;
        return submit(buffers);
      };
      return device;
    };
    return adapter;
  };
  return submits;
}
