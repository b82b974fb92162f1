// Reads the protobuf wire format: field numbers and raw values, without a schema, never
// beyond the buffer.

/**
 * A malformed message; `at` is the place of the fault in the buffer that readFields() was given.
 */
export class ProtobufError extends Error {
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

export type Field = {
  readonly number: number;
  /** Where the value begins in the outermost buffer. */
  readonly at: number;
} & (
  | { readonly type: "varint"; readonly value: number }
  | { readonly type: "fixed32"; readonly value: DataView }
  | { readonly type: "fixed64"; readonly value: DataView }
  | { readonly type: "bytes"; readonly value: Uint8Array }
);

/**
 * The fields of one message in file order (see protobuf.dev, "Encoding"). Groups are rejected, as
 * in proto3. Varints beyond 2^53 lose precision: no field read here is that large.
 * @throws ProtobufError for a field that does not end within `bytes`
 */
export function* readFields(bytes: Uint8Array, base = 0): Generator<Field> {
  let at = 0;
  const varint = (what: string): number => {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++, scale *= 128) {
      const byte = bytes[at];
      if (byte === undefined) throw new ProtobufError(`${what} ends with the file`, base + at);
      at++;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw new ProtobufError(`${what} is longer than 10 bytes`, base + at);
  };
  const take = (length: number, what: string): Uint8Array => {
    if (length > bytes.length - at) {
      throw new ProtobufError(`${what} of ${length} bytes where ${bytes.length - at} are left`, base + at);
    }
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const start = base + at;
    const key = varint("a field key");
    const number = Math.floor(key / 8);
    if (number === 0 || number >= 2 ** 29) throw new ProtobufError(`field number ${number}`, start);
    switch (key % 8) {
      case 0: {
        const valueAt = base + at;
        yield { number, at: valueAt, type: "varint", value: varint(`field ${number}`) };
        break;
      }
      case 1:
        yield { number, at: base + at, type: "fixed64", value: view(take(8, `field ${number}`)) };
        break;
      case 2: {
        const length = varint(`the length of field ${number}`);
        yield { number, at: base + at, type: "bytes", value: take(length, `field ${number}`) };
        break;
      }
      case 5:
        yield { number, at: base + at, type: "fixed32", value: view(take(4, `field ${number}`)) };
        break;
      default:
        throw new ProtobufError(`wire type ${key % 8} of field ${number}`, start);
    }
  }
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
