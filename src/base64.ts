// Bytes of a text in base64.

/** What newer engines have: some twenty times as fast as a loop over what atob() returns. */
const own = (Uint8Array as { fromBase64?: (text: string) => Uint8Array<ArrayBuffer> }).fromBase64;

/** @throws an error of the engine's for a text that is not base64 */
export function bytesOfBase64(text: string): Uint8Array<ArrayBuffer> {
  if (own) return own.call(Uint8Array, text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
