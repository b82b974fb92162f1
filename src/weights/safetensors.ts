// The header of a safetensors file: which tensors it holds, of what type and shape, and
// at which bytes.
//
//   bytes 0..7     n, the length of the header (u64, little-endian)
//   bytes 8..7+n   JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {...}}
//   from 8+n       the data; offsets count from here; the tensors cover it without hole or overlap
//
// Accepts and rejects files exactly as the reference reader does (safetensors 0.8.0, Rust),
// including its corner cases: the last of a repeated name wins, and `["F32", [2, 3], [0, 24]]` is
// valid in place of the object. Only the header is read.

import { WeightsError } from "../errors.ts";
import { type Files, refusePlaceholder } from "./files.ts";
import { JsonError, JsonReader } from "./json_reader.ts";

/** Bits of one element of every dtype that the format knows. */
const DTYPE_BITS: ReadonlyMap<string, number> = new Map([
  ["BOOL", 8],
  ["F4", 4],
  ["F6_E2M3", 6],
  ["F6_E3M2", 6],
  ["U8", 8],
  ["I8", 8],
  ["F8_E5M2", 8],
  ["F8_E4M3", 8],
  ["F8_E8M0", 8],
  ["F8_E4M3FNUZ", 8],
  ["F8_E5M2FNUZ", 8],
  ["I16", 16],
  ["U16", 16],
  ["F16", 16],
  ["BF16", 16],
  ["I32", 32],
  ["U32", 32],
  ["F32", 32],
  ["C64", 64],
  ["F64", 64],
  ["I64", 64],
  ["U64", 64],
]);

/** One tensor of a file. */
export interface TensorEntry {
  /** A key of DTYPE_BITS. */
  readonly dtype: string;
  /** Exact below 2^53; only an empty tensor can have a larger size. */
  readonly shape: readonly number[];
  /** First byte, counted from the start of the file. */
  readonly begin: number;
  /** Byte after the last. */
  readonly end: number;
}

export interface SafetensorsHeader {
  /** File name. */
  readonly file: string;
  /** Size of the whole file in bytes. */
  readonly bytes: number;
  /** In the order of their bytes in the file. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
}

const PREFIX = 8;
const MAX_HEADER = 100_000_000;
const MAX_U64 = 2n ** 64n - 1n;

/** A tensor as the header describes it, unchecked. Offsets count from the start of the data. */
interface Claim {
  readonly dtype: string;
  readonly shape: readonly (number | bigint)[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Reads and checks the header of file `name`.
 * @throws WeightsError naming the file, tensor and byte, if the reference reader rejects it.
 */
export async function readSafetensorsHeader(files: Files, name: string): Promise<SafetensorsHeader> {
  const where = `${files.label}: ${name}`;
  const size = await files.size(name);
  if (size === null) throw new WeightsError(`${where} is missing`);
  if (size < PREFIX)
    throw new WeightsError(`${where} is ${size} bytes; a safetensors file starts with 8 bytes of header length`);
  const prefix = new Uint8Array(PREFIX);
  await files.read(name, 0, prefix);
  const length = Number(new DataView(prefix.buffer).getBigUint64(0, true));
  // The first bytes of a web page or of a Git LFS pointer are, as a length, more than any file has.
  if (PREFIX + length > size && /^(version |# xet |\s*<)/.test(String.fromCharCode(...prefix))) {
    const start = new Uint8Array(Math.min(size, 512));
    await files.read(name, 0, start);
    refusePlaceholder(start, where);
  }
  if (length > MAX_HEADER)
    throw new WeightsError(
      `${where}: header of ${length} bytes (byte 0), at most ${MAX_HEADER} allowed; is this a safetensors file?`,
    );
  if (PREFIX + length > size)
    throw new WeightsError(
      `${where}: header of ${length} bytes (byte 0) in a file of ${size}: ${PREFIX + length - size} bytes are missing; download it again`,
    );
  const bytes = new Uint8Array(length);
  await files.read(name, PREFIX, bytes);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new WeightsError(`${where}: the header (bytes 8 to ${PREFIX + length}) is not valid UTF-8`);
  }
  const { claims, metadata } = parseHeader(text, where);
  return { file: name, bytes: size, tensors: locate(claims, PREFIX + length, size, where), metadata };
}

function parseHeader(text: string, where: string): { claims: Map<string, Claim>; metadata: Map<string, string> } {
  const json = new JsonReader(text);
  const claims = new Map<string, Claim>();
  const metadata = new Map<string, string>();
  let metadataSeen = false;
  let tensor = "";
  try {
    json.object("an object of tensors", (key) => {
      if (key !== "__metadata__") {
        tensor = key;
        claims.set(key, readClaim(json));
        tensor = "";
        return;
      }
      if (metadataSeen) json.fail("__metadata__ only once");
      metadataSeen = true;
      if (json.peek() === "n") json.null("__metadata__ as an object");
      else
        json.object("__metadata__ as an object", (entry) => {
          metadata.set(entry, json.string("a string as a value of __metadata__"));
        });
    });
    json.end();
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const byte = PREFIX + new TextEncoder().encode(text.slice(0, error.at)).length;
    const of = tensor === "" ? "" : `, tensor ${JSON.stringify(tensor)}`;
    throw new WeightsError(`${where}: bad header at byte ${byte}${of}: ${error.message}`);
  }
  return { claims, metadata };
}

function readClaim(json: JsonReader): Claim {
  let dtype: string | undefined;
  let shape: (number | bigint)[] | undefined;
  let offsets: number[] | undefined;
  const fields: Readonly<Record<string, () => void>> = {
    dtype: () => {
      if (dtype !== undefined) json.fail("dtype only once");
      dtype = readDtype(json);
    },
    shape: () => {
      if (shape !== undefined) json.fail("shape only once");
      const sizes: (number | bigint)[] = [];
      json.array("shape as an array of sizes", () => sizes.push(json.unsigned("a size (whole number)")));
      shape = sizes;
    },
    data_offsets: () => {
      if (offsets !== undefined) json.fail("data_offsets only once");
      const pair: number[] = [];
      // Rounding beyond 2^53 changes no result: the offsets must tile a file of an exact size.
      json.array("data_offsets as [begin, end]", (index) => {
        if (index === 2) json.fail("data_offsets of two numbers");
        pair.push(Number(json.unsigned("a byte offset (whole number)")));
      });
      if (pair.length !== 2) json.fail("data_offsets of two numbers before this");
      offsets = pair;
    },
  };
  const names = Object.keys(fields);
  if (json.peek() === "[")
    json.array("a tensor", (index) => {
      if (index === names.length) json.fail("dtype, shape and data_offsets alone");
      fields[names[index]!]!();
    });
  else
    json.object("a tensor as an object", (key) => {
      if (Object.hasOwn(fields, key)) fields[key]!();
      else json.skip();
    });
  if (dtype === undefined || shape === undefined || offsets === undefined)
    return json.fail(`the tensor's ${dtype === undefined ? "dtype" : shape ? "data_offsets" : "shape"} before this`);
  return { dtype, shape, begin: offsets[0]!, end: offsets[1]! };
}

/** "F32", or {"F32": null}, which the reference reader also accepts. */
function readDtype(json: JsonReader): string {
  let dtype: string | undefined;
  const known = (name: string): string => (DTYPE_BITS.has(name) ? name : json.fail(`a known dtype before this`));
  if (json.peek() !== "{") return known(json.string("dtype as a string"));
  json.object("dtype as a string", (key) => {
    if (dtype !== undefined) json.fail("a single dtype");
    dtype = known(key);
    json.null("null");
  });
  return dtype ?? json.fail("a dtype before this");
}

/**
 * Checks that the tensors, in order of their bytes, cover the data exactly; makes offsets count
 * from the file's start.
 */
function locate(claims: Map<string, Claim>, data: number, size: number, where: string): Map<string, TensorEntry> {
  const tensors = new Map<string, TensorEntry>();
  let at = 0;
  for (const [name, claim] of [...claims].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    const tensor = `${where}: tensor ${JSON.stringify(name)}`;
    if (claim.begin !== at || claim.end < claim.begin)
      throw new WeightsError(
        `${tensor} claims bytes ${data + claim.begin} to ${data + claim.end}; it must start at byte ${data + at}, where the one before it ends`,
      );
    const bits = bitsOf(claim);
    if (bits === null) throw new WeightsError(`${tensor} [${claim.shape.join(", ")}] is larger than 2^64 bits`);
    if (bits % 8 !== 0)
      throw new WeightsError(`${tensor}: ${claim.dtype} [${claim.shape.join(", ")}] does not fill whole bytes`);
    if (bits / 8 !== claim.end - claim.begin)
      throw new WeightsError(
        `${tensor}: ${claim.dtype} [${claim.shape.join(", ")}] needs ${bits / 8} bytes, the header gives it ${claim.end - claim.begin} (from byte ${data + claim.begin})`,
      );
    tensors.set(name, {
      dtype: claim.dtype,
      shape: claim.shape.map(Number),
      begin: data + claim.begin,
      end: data + claim.end,
    });
    at = claim.end;
  }
  if (data + at > size)
    throw new WeightsError(
      `${where} is truncated: its tensors need ${data + at} bytes, the file has ${size}: ${data + at - size} are missing; download it again`,
    );
  if (data + at < size)
    throw new WeightsError(`${where}: ${size - data - at} bytes after the last tensor (from byte ${data + at})`);
  return tensors;
}

/**
 * Bits of a tensor, or null if the product of sizes, in order, overflows 64 bits. Rounded beyond
 * 2^53, which no file reaches.
 */
function bitsOf(claim: Claim): number | null {
  const factors = [...claim.shape, DTYPE_BITS.get(claim.dtype)!];
  let product: number | bigint = 1;
  for (const factor of factors) {
    if (typeof product === "number" && typeof factor === "number" && product * factor <= Number.MAX_SAFE_INTEGER)
      product *= factor;
    else product = BigInt(product) * BigInt(factor);
    if (product > MAX_U64) return null;
  }
  return Number(product);
}
