// The GGUF files that peers read, written once into a cache folder: models/tales, and four layers
// of Mixtral 8x7B.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ModelConfig } from "../../src/model/config.ts";
import { readArchitecture } from "../../src/model/families/index.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { isSynthetic, parseSynthetic } from "../../src/weights/synthetic.ts";
import { writeGguf } from "./gguf.ts";
import { mixtralGguf } from "./mixtral_gguf.ts";

/** Part of the file's name: increment it when the contents change. */
const VERSION = 1;

/** Where the files are: $HOTSET_BENCH_CACHE, else a folder in the system's temporary one. */
export function cacheFolder(): string {
  return process.env.HOTSET_BENCH_CACHE ?? join(tmpdir(), "hotset-bench");
}

/** config.json of a model, checked. */
export async function modelConfig(root: URL, path: string): Promise<ModelConfig> {
  if (isSynthetic(path)) return readArchitecture(parseSynthetic(path).config, path).config;
  const folder = await openFolder(await nodeFiles(fileURLToPath(new URL(path, root))));
  await folder.close();
  return readArchitecture(folder.config, path).config;
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
  if (isSynthetic(path)) {
    const { config, source } = parseSynthetic(path);
    await writeGguf(file, mixtralGguf(readArchitecture(config, path), source), onProgress);
    return;
  }
  const folder = await openFolder(await nodeFiles(fileURLToPath(new URL(path, root))));
  try {
    await writeGguf(file, mixtralGguf(readArchitecture(folder.config, path), folder.source), onProgress);
  } finally {
    await folder.close();
  }
}
