// Bytes of the host to buffers, from whatever memory they lie in.

import type { Buffer, Device } from "./device.ts";

const PIECE = 2 ** 20;
/**
 * A copy of what lies in shared memory: writeBuffer() of Node's WebGPU crashes the process when it
 * is given that.
 */
let unshared: Uint8Array<ArrayBuffer> | null = null;

/**
 * Writes bytes, a multiple of 4, to a buffer from byte `at`, in the queue's order. They may change
 * when this returns.
 */
export function upload(device: Device, to: Buffer, at: number, bytes: Uint8Array): void {
  const { queue } = device.gpu;
  if (bytes.buffer instanceof ArrayBuffer) {
    queue.writeBuffer(to.gpu, at, bytes.buffer, bytes.byteOffset, bytes.length);
    return;
  }
  unshared ??= new Uint8Array(PIECE);
  for (let done = 0; done < bytes.length; done += PIECE) {
    const piece = bytes.subarray(done, done + PIECE);
    unshared.set(piece);
    queue.writeBuffer(to.gpu, at + done, unshared, 0, piece.length);
  }
}
