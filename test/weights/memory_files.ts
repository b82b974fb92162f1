// A folder in memory, and safetensors files made by hand, faults and all.

import { WeightsError } from "../../src/errors.ts";
import type { Files } from "../../src/weights/files.ts";

/** A folder of these files. `reads` collects what is asked of it, as [name, offset, bytes]. */
export function memoryFiles(
  contents: Readonly<Record<string, Uint8Array | string>>,
  reads: [string, number, number][] = [],
): Files {
  const bytes = new Map(
    Object.entries(contents).map(([name, content]) => [
      name,
      typeof content === "string" ? new TextEncoder().encode(content) : content,
    ]),
  );
  return {
    label: "folder",
    list: async (subfolder) =>
      [...bytes.keys()].flatMap((path) => {
        const name =
          subfolder === undefined ? path : path.startsWith(`${subfolder}/`) ? path.slice(subfolder.length + 1) : "/";
        return name.includes("/") ? [] : [name];
      }),
    size: async (name) => bytes.get(name)?.length ?? null,
    read: async (name, offset, into) => {
      reads.push([name, offset, into.length]);
      const file = bytes.get(name);
      if (file === undefined || offset + into.length > file.length) throw new WeightsError(`${name} is too short`);
      into.set(file.subarray(offset, offset + into.length));
    },
    close: async () => {},
  };
}

/** A file of any header text (or bytes) and any data. `length` is what the prefix claims. */
export function rawFile(
  header: string | Uint8Array,
  data: Uint8Array = new Uint8Array(0),
  length?: bigint,
): Uint8Array {
  const json = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const file = new Uint8Array(8 + json.length + data.length);
  new DataView(file.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  file.set(json, 8);
  file.set(data, 8 + json.length);
  return file;
}

export interface TensorSpec {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView;
}

/** A well-formed file that holds these tensors, in this order. */
export function tensorFile(tensors: Readonly<Record<string, TensorSpec>>): Uint8Array {
  let end = 0;
  const header = Object.entries(tensors).map(([name, { dtype, shape, data }]) => {
    end += data.byteLength;
    return [name, { dtype, shape, data_offsets: [end - data.byteLength, end] }] as const;
  });
  const all = new Uint8Array(end);
  let at = 0;
  for (const { data } of Object.values(tensors)) {
    all.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return rawFile(JSON.stringify(Object.fromEntries(header)), all);
}

export function f32(...values: number[]): TensorSpec {
  return { dtype: "F32", shape: [values.length], data: Float32Array.from(values) };
}
