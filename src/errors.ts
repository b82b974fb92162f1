// The errors that hotset throws on purpose. Each message says what was expected, what was found, where, and what to do.

/** Base of every error that hotset throws on purpose; anything else is a bug. */
export class HotsetError extends Error {
  override readonly name: string = "HotsetError";
}

/** A weights folder, a file in it or its configuration is missing, malformed, inconsistent or not supported. */
export class WeightsError extends HotsetError {
  override readonly name = "WeightsError";
}

/** A call asks for something impossible: a bad option, a prompt longer than the context, a closed model. */
export class RequestError extends HotsetError {
  override readonly name = "RequestError";
}

/** A memory budget cannot hold what was asked for, or an allocation failed. */
export class MemoryError extends HotsetError {
  override readonly name = "MemoryError";
}

/** No adapter, a lost device, or a command that the device refused. */
export class DeviceError extends HotsetError {
  override readonly name = "DeviceError";
}

/** The abort reason of `signal` as an Error: what an aborted call rejects with. */
export function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new DOMException("The operation was aborted", "AbortError");
}
