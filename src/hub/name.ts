// Names of models on the hub, as users type them: hf:owner/name, a tag, a revision, a file.

import { RequestError } from "../errors.ts";
import { SHORT_NAMES } from "./short_names.ts";

/** A model on the hub. */
export interface ModelName {
  /** "owner/name" */
  readonly repo: string;
  /** A branch, tag or commit; absent: main. */
  readonly revision?: string;
  /** A GGUF file of the repository; of a split model any part. */
  readonly file?: string;
  /** The quantization of the GGUF file that is meant, such as "Q4_K_M". */
  readonly tag?: string;
}

const PREFIX = /^(?:hf:|(?:https?:\/\/)?(?:www\.)?(?:hf\.co|huggingface\.co)\/)/i;
/** A page of the hub: of a repository at a revision, or of a file in it. */
const PAGE = /^(?<repo>[^/]+\/[^/]+)\/(?:tree|blob|resolve|raw)\/(?<revision>refs\/pr\/\d+|[^/]+)(?<file>\/.+)?$/;
const REPO = /^[\w-][\w.-]*\/[\w-][\w.-]*$/;
const NAME =
  /^(?<repo>[^/@:]+\/[^/@:]+)(?:@(?<revision>refs\/pr\/\d+|[^/:@]+))?(?:\/(?<file>[^:]+\.gguf))?(?::(?<tag>[\w.-]+))?$/i;

/**
 * Reads a name: `owner/name`, `hf:owner/name@revision/file.gguf`, `owner/name:Q4_K_M`, or a short
 * one such as `qwen3-30b` or `qwen3-30b:Q8_0`. Addresses of the hub's pages of models, revisions
 * and GGUF files are names too.
 * @returns null for what can only be a path
 * @throws RequestError for text that is meant as a name (`hf:`) and is none
 */
export function parseName(text: string): ModelName | null {
  const [short = "", tag, ...more] = text.split(":");
  const known = more.length === 0 ? SHORT_NAMES[short.toLowerCase()] : undefined;
  if (known !== undefined) return { ...known, ...(tag && { tag }) };
  const isName = PREFIX.test(text);
  const found = NAME.exec(isName ? withoutAddress(text) : text)?.groups;
  const good = found && REPO.test(found.repo!) && !(found.file && found.tag) && !found.file?.includes("..");
  if (!good) {
    if (!isName) return null;
    throw new RequestError(
      `${JSON.stringify(text)}: expected hf:owner/name, with @revision and /file.gguf or :tag after it if they are wanted`,
    );
  }
  const { repo, revision, file, tag: quantization } = found;
  return {
    repo: repo!,
    ...(revision && { revision }),
    ...(file && { file }),
    ...(quantization && { tag: quantization }),
  };
}

/** A name without "hf:"; of an address of the hub's the name that it stands for. */
function withoutAddress(text: string): string {
  if (text.startsWith("hf:")) return text.slice("hf:".length);
  const path = decoded(text.replace(/[?#].*/, "").replace(PREFIX, "")).replace(/\/+$/, "");
  const page = PAGE.exec(path)?.groups;
  return page === undefined ? path : `${page.repo}@${page.revision}${page.file ?? ""}`;
}

/** An address may have %20 and %2F. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** The name as a user would type it, without its revision. */
export function nameText({ repo, file, tag }: ModelName): string {
  return file !== undefined ? `hf:${repo}/${file}` : tag !== undefined ? `${repo}:${tag}` : repo;
}
