// The models of `hotset serve` where there are several, or one that may be unloaded: their names,
// what they take of the budget, and how each is opened.

import { basename } from "node:path";
import type { OpenOptions } from "../engine/api.ts";
import { formatBytes } from "../engine/budget.ts";
import { HotsetError, MemoryError, RequestError, WeightsError } from "../errors.ts";
import { type ModelNeed, modelsIn, type SharedBudget } from "../index.ts";
import type { Log } from "../server/log.ts";
import { Catalog, type CatalogEntry } from "../server/pool/catalog.ts";
import { fits, sumOf } from "../server/pool/memory.ts";
import { type ClosableModel, type ServedModel, type ServedPool, servePool } from "../server/pool/serve_pool.ts";
import type { PoolEvent } from "../server/pool/types.ts";
import { freeMemory } from "./free_memory.ts";
import { type DownloadFlags, modelPlace } from "./model_place.ts";

export interface ManyFlags {
  readonly modelsDir?: string;
  readonly pin?: readonly string[];
  /** Seconds. */
  readonly idleUnload?: number;
  readonly parallel: number;
  readonly queue: number;
  readonly allowPull?: true;
}

export interface ManyModels {
  readonly pool: ServedPool;
  /** Lets the pool have one more model, by what it was called and where it is. */
  readonly add: (name: string, path: string) => Promise<void>;
}

/** A model that the server may load. */
interface Listed extends CatalogEntry {
  /** What open() takes. */
  readonly path: string;
  /** Named on the command line, not found in the folder of models. */
  readonly named: boolean;
}

export interface ManyParts {
  /** Opens a model, under its name in answers. */
  readonly open: (path: string, options: OpenOptions & { readonly name: string }) => Promise<ClosableModel>;
  /** Of all models; `ram` and `gpuMemory` are the budget. */
  readonly options: OpenOptions;
  readonly share: (options: OpenOptions) => Promise<SharedBudget>;
  readonly log: Log;
}

/**
 * The models of the command line, those of the hub downloaded, and those of --models-dir. A model
 * of the command line that cannot be loaded is an error now; one of the folder when it is wanted.
 * A single one is loaded when this returns.
 * @throws HotsetError naming the model or the option
 */
export async function openMany(
  texts: readonly string[],
  flags: ManyFlags & DownloadFlags,
  parts: ManyParts,
  signal: AbortSignal,
): Promise<ManyModels> {
  const { options, log } = parts;
  for (const name of ["tokenizer", "draft"] as const)
    if (options[name] !== undefined)
      throw new RequestError(
        `--${name} is for one model that stays loaded; leave it out, or serve that model alone, without --models-dir, --pin, --idle-unload and --allow-pull`,
      );
  const listed = await listModels(texts, flags, signal);
  const pinned = pinnedOf(listed, flags.pin ?? []);
  const budget = await parts.share(options);
  const alone = (): boolean => listed.length === 1 && !flags.allowPull;
  const served = (one: Listed): ServedModel => servedModel(one, pinned.has(one.id), alone, budget, parts);
  const { modelsDir } = flags;
  const pool = servePool(listed.map(served), {
    budget,
    formatBytes,
    reclaim: freeMemory,
    mostWaiting: flags.parallel + flags.queue,
    ...(flags.idleUnload !== undefined && { idleMs: flags.idleUnload * 1000 }),
    onEvent: (event, model, details) => tell(log, event, model, details),
    ...(modelsDir !== undefined && {
      async look() {
        const found = await newModels(modelsDir, listed, log);
        listed.push(...found);
        return found.map(served);
      },
    }),
  });
  const measured = new Map<string, ModelNeedBytes>();
  for (const { id, named } of listed) {
    signal.throwIfAborted();
    if (named || pinned.has(id)) measured.set(id, await pool.measure(id));
  }
  const kept = sumOf([...pinned].flatMap((id) => measured.get(id) ?? []));
  if (!fits(kept, budget))
    throw new MemoryError(
      `--pin: the pinned models take ${formatBytes(kept.ram + kept.gpu)}, the memory budget is ${formatBytes(budget.gpu || budget.ram)} (--ram, --gpu-memory)`,
    );
  if (alone()) await loadAlone(pool, listed[0]!.id, signal);
  else void loadPinned(pool, listed, pinned);
  const add = async (name: string, path: string): Promise<void> => {
    if (listed.some((one) => one.path === path)) return; // it has another name here
    const one = { id: name.replace(/^hf:/, ""), path, aliases: [name], named: false };
    listed.push(one);
    pool.add(served(one));
    await pool.measure(one.id).catch(() => {}); // requests for it are told
  };
  return { pool, add };
}

type ModelNeedBytes = Pick<ModelNeed, "ram" | "gpu">;

/** As a server of one model: it is loaded before requests are taken. */
async function loadAlone(pool: ServedPool, id: string, signal: AbortSignal): Promise<void> {
  const stop = (): void => void pool.close("terminated");
  signal.addEventListener("abort", stop);
  try {
    await pool.load(id);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Loads what is pinned, then looks at the rest, so that lists tell sizes. Failures are logged. */
async function loadPinned(pool: ServedPool, listed: readonly Listed[], pinned: ReadonlySet<string>): Promise<void> {
  await Promise.all([...pinned].map((id) => pool.load(id).catch(() => {})));
  for (const { id } of listed) await pool.measure(id).catch(() => {});
}

function servedModel(
  { id, aliases, path }: Listed,
  pinned: boolean,
  alone: () => boolean,
  budget: SharedBudget,
  { open, options }: ManyParts,
): ServedModel {
  let need: ModelNeed | null = null;
  return {
    id,
    aliases,
    pinned,
    async measure() {
      need = await budget.measure(path).catch((error: unknown) => {
        if (error instanceof MemoryError) throw new MemoryError(`${id}: ${error.message}`, { cause: error });
        throw error;
      });
      return alone() ? { ...need, ram: budget.ram, gpu: budget.gpu } : need;
    },
    load(onProgress, signal) {
      const within = alone() ? {} : need!.options;
      return open(path, {
        ...options,
        ...within,
        name: id,
        onProgress: (done, total) => onProgress(total > 0 ? done / total : 1),
        signal,
      });
    },
  };
}

async function listModels(
  texts: readonly string[],
  { modelsDir, ...flags }: ManyFlags & DownloadFlags,
  signal: AbortSignal,
): Promise<Listed[]> {
  const found: Omit<Listed, "id">[] = [];
  const names: string[] = [];
  const add = (name: string, one: Omit<Listed, "id">): void => {
    if (found.some(({ path }) => path === one.path)) return;
    found.push(one);
    names.push(name);
  };
  for (const text of texts) {
    const path = await modelPlace(text, flags, signal);
    const name = path === text ? stem(basename(text)) : text.replace(/^hf:/, "");
    add(name, { path, aliases: [text, text.replace(/^hf:/, ""), basename(text)], named: true });
  }
  for (const { name, path } of modelsDir === undefined ? [] : await modelsIn(modelsDir))
    add(name, { path, aliases: [basename(path)], named: false });
  if (found.length === 0)
    throw new WeightsError(
      `--models-dir ${modelsDir}: expected folders of weights or GGUF files, found none; \`hotset pull\` downloads a model`,
    );
  // Two of one name have their whole paths as names.
  return found.map((one, i) => {
    const unique = names.filter((name) => name === names[i]).length === 1;
    return { ...one, id: unique ? names[i]! : one.path };
  });
}

/** The models of the folder that are not listed yet; none where it cannot be read now. */
async function newModels(modelsDir: string, listed: readonly Listed[], log: Log): Promise<readonly Listed[]> {
  const found = await modelsIn(modelsDir).catch((error: unknown) => {
    if (!(error instanceof HotsetError)) throw error;
    log.warning(error.message);
    return [];
  });
  const taken = new Set(listed.map(({ id }) => id));
  return found
    .filter(({ path }) => !listed.some((one) => one.path === path))
    .map(({ name, path }) => ({ id: taken.has(name) ? path : name, path, aliases: [basename(path)], named: false }));
}

function stem(file: string): string {
  return file.replace(/(?:-\d{5}-of-\d{5})?\.gguf$/i, "");
}

/** @throws RequestError for a name of no model */
function pinnedOf(listed: readonly Listed[], names: readonly string[]): ReadonlySet<string> {
  const catalog = new Catalog(listed);
  const find = (name: string): string => {
    try {
      return catalog.named(name);
    } catch (error) {
      throw new RequestError(`--pin ${name}: ${(error as Error).message}`);
    }
  };
  return new Set(names.map(find));
}

function tell(log: Log, event: PoolEvent, model: string, { ms, error }: { ms?: number; error?: unknown }): void {
  const reason = error instanceof HotsetError ? { reason: error.message } : {};
  if (error !== undefined && !(error instanceof HotsetError)) log.error(error);
  log.event(`model_${event}`, { model, ...(ms !== undefined && { ms: Math.round(ms) }), ...reason });
}
