// Ollama's /api/pull: downloads a model by its name, where the operator allows it.

import type { Context } from "hono";
import { errorBody, type Failure, HttpError } from "./errors.ts";
import { fieldsOf, required } from "./fields.ts";
import { readJson } from "./json.ts";
import type { PullModel, PullProgress } from "./pull_model.ts";
import type { Service } from "./service.ts";
import { streamed } from "./sse.ts";
import { nameIn } from "./wanted.ts";

/** Between two lines of progress. */
const TICK_MS = 100;
/** As Ollama's clients write a model without a tag. */
const LATEST = /:latest$/i;
const SUCCESS = { status: "success" };

export async function ollamaPull(c: Context, service: Service): Promise<Response> {
  const json = await readJson(c.req.raw, service.bodyLimit);
  const body = fieldsOf(json);
  const name = required(nameIn(c, json), body, "model").replace(LATEST, "");
  const { pull, keepAliveMs, log } = service;
  if (pull === null) {
    // Clients that only make sure that it is here.
    const here = service.models.cards().some(({ id }) => id.toLowerCase() === name.toLowerCase());
    if (here) return c.json(SUCCESS);
    throw new HttpError(
      403,
      `this server downloads no models: its operator can run \`hotset pull ${name}\` and serve the model, or serve with --allow-pull`,
      "pull_not_allowed",
    );
  }
  const work = service.watch(c.req.raw);
  if (body.boolean("stream") ?? true) {
    const failed = (failure: Failure): string => line(errorBody(failure, "ollama"));
    return streamed(lines(pull, name, work.signal), {
      keepAliveMs,
      keepAlive: "", // a line of its own would be read as progress
      contentType: "application/x-ndjson",
      log,
      failed,
      done: work.end,
    });
  }
  try {
    await pull(name, { onProgress: () => {}, signal: work.signal });
    return c.json(SUCCESS);
  } finally {
    work.end();
  }
}

async function* lines(pull: PullModel, name: string, signal: AbortSignal): AsyncGenerator<string> {
  let latest: PullProgress | null = null;
  let over = false;
  const onProgress = (progress: PullProgress): void => {
    latest = progress;
  };
  const pulled = pull(name, { onProgress, signal }).finally(() => {
    over = true;
  });
  pulled.catch(() => {}); // awaited below, unless the client leaves
  yield line({ status: "pulling manifest" });
  let told: PullProgress | null = null;
  for (let ended = false; !ended; ) {
    await soon(pulled, TICK_MS);
    ended = over;
    if (latest === told) continue;
    told = latest;
    yield line(progressOf(told!));
  }
  await pulled;
  // Each file was compared with the hub's checksum when it was whole.
  for (const status of ["verifying sha256 digest", "writing manifest"]) yield line({ status });
  yield line(SUCCESS);
}

function progressOf({ digest, completed, total }: PullProgress): object {
  return { status: `pulling ${digest.slice(0, 12)}`, digest, total, completed };
}

/** Resolves when `work` is over in any way, at the latest after `ms`. */
async function soon(work: Promise<void>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work.catch(() => {}), late]);
  clearTimeout(timer);
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
