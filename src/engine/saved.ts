// A session as bytes: its tokens, their keys and values, and a fingerprint of the model that they
// are valid for.
//
//   "HOTSETKV"  u32 version  u32 length of the header  header (JSON)
//   u32 token[]  blocks  states  u32 CRC-32 of all before it
//
// All numbers are little-endian. A block is what KvStore.readBlock() gives; states, of a model that
// has any and a session with a token, are what StateStore.read() gives. Places without a token
// are zeroed, because they may contain data of another session; so are those of layers with a
// window before position `seen` of the header (absent: 0), from which on the session has them.

import { MemoryError, RequestError } from "../errors.ts";
import { crc32 } from "./crc32.ts";

const MAGIC = "HOTSETKV";
const VERSION = 1;
const START = 16;
/** Far more than any header needs. */
const MAX_HEADER = 65536;

/**
 * What keys and values depend on besides the tokens. A saved session is valid where all values are
 * the same.
 */
export type Fingerprint = Readonly<Record<string, string | number | null>>;

export interface SavedShape {
  readonly fingerprint: Fingerprint;
  /** Positions a block. */
  readonly blockSize: number;
  /**
   * Planes in a block, one after the other: keys and values of each layer; and those of layers with
   * a window.
   */
  readonly planes: number;
  readonly windowed?: readonly number[];
  /** Bytes of a block as readBlock() gives it. */
  readonly blockBytes: number;
  /** Bytes of a sequence's states; absent: the model has none. */
  readonly stateBytes?: number;
}

export interface Saved {
  readonly tokens: readonly number[];
  /** Of their keys: see RopeLengths. */
  readonly anchor: number;
  /** The first position that layers with a window have; absent: 0. */
  readonly seen?: number;
  /** Their blocks, in order: views of the given bytes. */
  readonly blocks: readonly Uint8Array[];
  /** Null: there are none. */
  readonly state: Uint8Array | null;
}

/** The bytes of a session. @throws MemoryError where they do not fit in one array */
export async function writeSaved(
  shape: SavedShape,
  { tokens, anchor, seen = 0 }: Pick<Saved, "tokens" | "anchor" | "seen">,
  readBlock: (index: number) => Promise<Uint8Array>,
  readStates?: () => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const { blockSize, blockBytes } = shape;
  const header = new TextEncoder().encode(
    JSON.stringify({
      ...wantedOf(shape),
      tokens: tokens.length,
      ...(anchor > 0 && { anchor }),
      ...(seen > 0 && { seen }),
    }),
  );
  const count = Math.ceil(tokens.length / blockSize);
  const first = START + header.length + 4 * tokens.length;
  const stateBytes = statesOf(shape, tokens.length);
  const end = first + count * blockBytes;
  const bytes = allocate(end + stateBytes + 4);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(MAGIC));
  view.setUint32(8, VERSION, true);
  view.setUint32(12, header.length, true);
  bytes.set(header, START);
  for (const [i, token] of tokens.entries()) view.setUint32(START + header.length + 4 * i, token, true);
  for (let i = 0; i < count; i++) {
    const block = bytes.subarray(first + i * blockBytes, first + (i + 1) * blockBytes);
    block.set(await readBlock(i));
    clearFrom(block, shape, tokens.length - i * blockSize);
    if (i * blockSize < seen) clearWindowed(block, shape);
  }
  if (readStates && stateBytes > 0) bytes.set(await readStates(), end);
  view.setUint32(bytes.length - 4, crc32(bytes.subarray(0, -4)), true);
  return bytes;
}

/**
 * The session that `bytes` hold.
 * @throws RequestError for damaged bytes, and for a session of another model, naming the difference
 */
export function readSaved(bytes: Uint8Array, shape: SavedShape, vocab: number, context: number): Saved {
  if (!(bytes instanceof Uint8Array)) fail(`expected the bytes of save(), found ${typeof bytes}`);
  if (bytes.length < START + 4) fail(`it has ${bytes.length} bytes; it is not one, or was cut off`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (new TextDecoder("latin1").decode(bytes.subarray(0, 8)) !== MAGIC)
    fail(`it does not begin with ${MAGIC}; it is not a saved session`);
  const version = view.getUint32(8, true);
  if (version !== VERSION)
    fail(`expected format version ${VERSION}, found ${version}; it was written by another hotset`);
  const headerBytes = view.getUint32(12, true);
  const header = parseHeader(bytes, headerBytes);
  for (const [name, wanted] of Object.entries(wantedOf(shape))) {
    const found = Object.hasOwn(header, name) ? header[name] : undefined;
    if (found !== wanted)
      fail(
        `${name}: this model has ${JSON.stringify(wanted)}, the session was saved with ${JSON.stringify(found)}; open the model that it was saved from, with the same options`,
      );
  }
  const count = header.tokens;
  if (typeof count !== "number" || !Number.isInteger(count) || count < 0)
    fail(`tokens: expected a count, found ${JSON.stringify(count)}`);
  if (count > context)
    fail(`${count} tokens do not fit in the context of ${context}; open the model with a larger context`);
  const counted = (name: "anchor" | "seen"): number => {
    const { [name]: found = 0 } = header;
    if (typeof found === "number" && Number.isInteger(found) && found >= 0) return found;
    return fail(`${name}: expected a count, found ${JSON.stringify(found)}`);
  };
  const [anchor, seen] = [counted("anchor"), counted("seen")];
  if (seen > count) fail(`seen: expected a position within its ${count} tokens, found ${seen}`);
  const blocks = Math.ceil(count / shape.blockSize);
  const at = START + headerBytes;
  const first = at + 4 * count;
  const end = first + blocks * shape.blockBytes;
  const stateBytes = statesOf(shape, count);
  const size = end + stateBytes + 4;
  if (bytes.length !== size)
    fail(`expected ${size} bytes for ${count} tokens, found ${bytes.length}; it was cut off or changed`);
  const [sum, wanted] = [crc32(bytes.subarray(0, -4)), view.getUint32(size - 4, true)];
  if (sum !== wanted) fail("its checksum is wrong; it was damaged");
  const tokens = Array.from({ length: count }, (_, i) => view.getUint32(at + 4 * i, true));
  const bad = tokens.findIndex((id) => id >= vocab);
  if (bad >= 0) fail(`token ${bad}: expected an id from 0 to ${vocab - 1}, found ${tokens[bad]}`);
  return {
    tokens,
    anchor,
    ...(seen > 0 && { seen }),
    blocks: Array.from({ length: blocks }, (_, i) =>
      bytes.subarray(first + i * shape.blockBytes, first + (i + 1) * shape.blockBytes),
    ),
    state: stateBytes > 0 ? bytes.subarray(end, end + stateBytes) : null,
  };
}

/** What the header says of the model. */
function wantedOf({ fingerprint, blockSize, blockBytes, stateBytes }: SavedShape): Fingerprint {
  return { ...fingerprint, blockSize, blockBytes, ...(stateBytes && { stateBytes }) };
}

/** Bytes of the states of a session with so many tokens. */
function statesOf({ stateBytes = 0 }: SavedShape, tokens: number): number {
  return tokens > 0 ? stateBytes : 0;
}

function parseHeader(bytes: Uint8Array, length: number): Readonly<Record<string, unknown>> {
  if (length > MAX_HEADER || START + length > bytes.length)
    fail(`a header of ${length} bytes; it was cut off or damaged`);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(START, START + length)));
  } catch {
    fail("its header is not valid JSON; it was damaged");
  }
  if (typeof header !== "object" || header === null || Array.isArray(header))
    fail("its header is not an object; it was damaged");
  return header as Readonly<Record<string, unknown>>;
}

/** Zeroes a block's places from `position` on. */
function clearFrom(block: Uint8Array, { planes, blockBytes, blockSize }: SavedShape, position: number): void {
  if (position >= blockSize) return;
  const plane = blockBytes / planes;
  for (let at = 0; at < blockBytes; at += plane) block.fill(0, at + (plane / blockSize) * position, at + plane);
}

/** Zeroes a block's planes of layers with a window. */
function clearWindowed(block: Uint8Array, { planes, windowed = [] }: SavedShape): void {
  const plane = block.length / planes;
  for (const i of windowed) block.fill(0, i * plane, (i + 1) * plane);
}

function allocate(size: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(size);
  } catch {
    throw new MemoryError(`saved session: ${size} bytes do not fit in memory; save a shorter one`);
  }
}

function fail(message: string): never {
  throw new RequestError(`saved session: ${message}`);
}
