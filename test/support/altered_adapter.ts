// An adapter that says something else of itself, and whose devices are altered.

/**
 * @param info what it says instead
 * @param alter gives the device that is opened instead of its own
 */
export function alteredAdapter(
  found: GPUAdapter,
  info: Partial<Record<keyof GPUAdapterInfo | "subgroupMatrixConfigs", unknown>>,
  alter: (device: GPUDevice) => GPUDevice,
): GPUAdapter {
  const { vendor, architecture, device, description, isFallbackAdapter } = found.info; // which are no own properties
  const said = { vendor, architecture, device, description, isFallbackAdapter, ...info };
  return new Proxy(found, {
    get(target, key) {
      if (key === "info") return said;
      if (key === "requestDevice")
        return async (wanted?: GPUDeviceDescriptor) => alter(await target.requestDevice(wanted));
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
