// Errors in messages: they arrive with their class, message and details.

import {
  BusyError,
  DeviceError,
  HotsetError,
  HubError,
  MemoryError,
  RequestError,
  type RequestErrorDetail,
  WeightsError,
} from "../errors.ts";

export interface Failure {
  readonly name: string;
  readonly message: string;
  /** Where it was thrown, in the worker. */
  readonly stack: string;
  readonly detail?: RequestErrorDetail;
  /** Of a HubError. */
  readonly status?: number;
  readonly retryAfter?: number | null;
}

const CLASSES: Readonly<Record<string, new (message: string) => Error>> = {
  HotsetError,
  WeightsError,
  MemoryError,
  BusyError,
  DeviceError,
  RangeError,
  TypeError,
};

export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { name: "Error", message: String(error), stack: "" };
  const { name, message, stack = "" } = error;
  return {
    name,
    message,
    stack,
    ...(error instanceof RequestError && { detail: error.detail }),
    ...(error instanceof HubError && { status: error.status, retryAfter: error.retryAfter }),
  };
}

export function errorOf(failure: Failure): Error {
  const error = madeOf(failure);
  // A DOMException's stack cannot be replaced everywhere.
  if (failure.stack !== "") Reflect.defineProperty(error, "stack", { value: failure.stack, configurable: true });
  return error;
}

function madeOf({ name, message, detail, status, retryAfter }: Failure): Error {
  if (name === "RequestError") return new RequestError(message, detail);
  if (name === "HubError") return new HubError(message, status ?? 0, {}, retryAfter);
  const Class = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
  if (Class) return new Class(message);
  return name === "Error" ? new Error(message) : new DOMException(message, name);
}
