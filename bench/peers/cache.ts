// The GGUF files that peers read, written once into a cache folder: models/tales, and four layers
// of Mixtral 8x7B.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Architecture } from "../../src/model/family.ts";
import { isSynthetic } from "../../src/weights/synthetic.ts";
import type { OpenWeights } from "../synthetic.ts";
import { openWeights } from "../weights.ts";
import { decoderGguf } from "./decoder_gguf.ts";
import { writeGguf } from "./gguf.ts";

/** Part of the file's name: increment it when the contents change. */
const VERSION = 1;

/** Where the files are: $HOTSET_BENCH_CACHE, else a folder in the system's temporary one. */
function cacheFolder(): string {
  return process.env.HOTSET_BENCH_CACHE ?? join(tmpdir(), "hotset-bench");
}

/** The architecture of a model. @param path a folder in the checkout, or `synthetic:...` */
export async function architectureOf(root: URL, path: string): Promise<Architecture> {
  const weights = await openIn(root, path);
  await weights.close();
  return weights.architecture;
}

function openIn(root: URL, path: string): Promise<OpenWeights> {
  return openWeights(isSynthetic(path) ? path : fileURLToPath(new URL(path, root)));
}

/** The path of a model's GGUF file in Q4_0, which is written first if it does not exist. */
export async function cachedGguf(root: URL, path: string): Promise<string> {
  const folder = cacheFolder();
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${identity(root, path)}.gguf`);
  if (existsSync(file)) return file; // complete: files are renamed when they are
  const part = `${file}.${process.pid}.part`;
  const remove = (): void => rmSync(part, { force: true });
  process.on("exit", remove); // after Ctrl-C too: an incomplete file takes gigabytes
  try {
    await write(root, path, part);
    renameSync(part, file);
  } finally {
    remove();
    process.off("exit", remove);
  }
  return file;
}

/** A name that changes with the size and time of the weights. */
function identity(root: URL, path: string): string {
  const hash = createHash("sha256").update(`${VERSION} ${path}`);
  if (!isSynthetic(path)) {
    const { size, mtimeMs } = statSync(new URL(`${path}/model.safetensors`, root));
    hash.update(` ${size} ${mtimeMs}`);
  }
  return `${path.replace(/[^\w]+/g, "-")}-q4_0-${hash.digest("hex").slice(0, 12)}`;
}

async function write(root: URL, path: string, file: string): Promise<void> {
  let shown = -1;
  const onProgress = (done: number, total: number): void => {
    const percent = Math.floor((10 * done) / total) * 10;
    if (percent > shown) console.error(`${path} as GGUF: ${percent} % of ${(total / 1e9).toFixed(2)} GB`);
    shown = Math.max(shown, percent);
  };
  const weights = await openIn(root, path);
  try {
    await writeGguf(file, decoderGguf(weights.architecture, weights.sources), onProgress);
  } finally {
    await weights.close();
  }
}
