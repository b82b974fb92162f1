// `hotset serve`: answers OpenAI's, Anthropic's and Ollama's APIs over HTTP with one model or many.

import { type Command, InvalidArgumentError, Option } from "commander";
import type { OpenOptions } from "../engine/api.ts";
import { shareBudget } from "../index.ts";
import { hostCheck, listenHost, socketPath } from "../server/host_header.ts";
import type { Log, LogFormat } from "../server/log.ts";
import type { ListenOptions, RunningServer } from "../server/node_serve.ts";
import type { ClosableModel } from "../server/pool/serve_pool.ts";
import { loadOf, type ServedModels, serveOne } from "../server/served.ts";
import { activityFolder } from "./activity_folder.ts";
import { readKeys } from "./api_keys.ts";
import { EnvCommand } from "./env_options.ts";
import { exitSoon, interruptible } from "./interrupt.ts";
import { addModelOptions, MODEL_ARGUMENT, type ModelFlags, openOptions, pick } from "./model_options.ts";
import { openPlace } from "./open_place.ts";
import { print } from "./output.ts";
import { addReasoningOptions, chatDefaults, type ReasoningFlags, withDefaults } from "./reasoning_options.ts";
import type { ManyFlags, ManyModels } from "./serve_models.ts";
import { handedSocket, notifySystemd } from "./systemd.ts";
import { checked, integer, seconds, size } from "./values.ts";

/** Most answers that the engine computes at once, and most that wait. */
export interface LoadOptions {
  readonly parallel: number;
  readonly queue: number;
}

/** Opens a model. A parameter, so that the command can be tested without weights. */
export type OpenChat = (
  folder: string,
  options: OpenOptions & LoadOptions & { readonly name?: string },
) => Promise<ClosableModel>;

const LISTEN = ["port", "host", "cors", "bodyLimit", "page"] as const;
const DAY = 86_400;
/** Names of models in the greeting. */
const MOST_NAMED = 10;
/** Without running answers closing is quick; it saves statistics of experts. */
const CLOSING_MS = 10_000;
/**
 * Most bytes of log that wait for a slow reader of stderr. Further lines are dropped, so that
 * memory stays bounded.
 */
const LOG_WAITS = 4 * 2 ** 20;

interface ServeFlags
  extends ModelFlags,
    LoadOptions,
    ManyFlags,
    ReasoningFlags,
    Pick<ListenOptions, (typeof LISTEN)[number]> {
  readonly config?: string;
  readonly model?: readonly string[];
  readonly allowHost?: readonly string[];
  readonly apiKey?: string;
  readonly apiKeyFile?: string;
  readonly readyQueue?: number;
  /** Seconds. */
  readonly drain: number;
  readonly keepAlive: number;
  readonly loadWait: number;
  readonly log: LogFormat;
  /** A folder; false: --no-activity. */
  readonly activity?: string | false;
}

/**
 * @param version hotset's, for /metrics
 * @param share the memory budget of many models
 */
export function addServe(program: Command, openChat: OpenChat, version?: string, share = shareBudget): void {
  const command = new EnvCommand("serve")
    .copyInheritedSettings(program)
    .description("answer OpenAI's, Anthropic's and Ollama's APIs over HTTP with one model, or with many")
    .argument("[models...]", `${MODEL_ARGUMENT}; several are loaded when requests name them`)
    .option("--model <model>", "the same where no argument gives one, as for HOTSET_MODEL; several are allowed", names)
    .option("--models-dir <folder>", "also every model in this folder: folders of weights, GGUF files")
    .option("--pin <model>", "load this model at the start, and keep it; several are allowed", names)
    .option("--allow-pull", "clients may download models (Ollama's /api/pull), which are then served too")
    .option("--idle-unload <time>", "unload models that had no request for so long, such as 10m", seconds(0, 366 * DAY))
    .option("--load-wait <time>", "how long an answer that is not a stream waits for its model", seconds(0, DAY), 300)
    .option("--port <number>", "port to listen on; 0: any free port", integer(0, 65_535), 8080)
    .option("--config <file>", 'a JSON file with options by their names: {"port": 8080}')
    .option(
      "--host <address>",
      "address to listen on; 0.0.0.0 (:: with IPv6): every interface of this machine; unix:/path: a Unix socket",
      checked(listenHost),
      "127.0.0.1",
    )
    .option(
      "--api-key <key>",
      "the key that clients must send; other users of this machine can see it, but not the variable",
    )
    .option("--api-key-file <file>", "a file with a key on each line; clients may send any of them; SIGHUP rereads it")
    .option(
      "--cors <origin>",
      "let pages of this origin use the server, * for any; several are allowed, also separated by commas",
      origin,
    )
    .option(
      "--allow-host <name>",
      "a host name of the server, *.name or * for any; several are allowed, also separated by commas",
      hostName,
    )
    .option("--parallel <count>", "answers computed at once", integer(1, 4096), 16)
    .option("--queue <count>", "requests that may wait; further ones get a 503", integer(0, 1_000_000), 256)
    .option(
      "--ready-queue <count>",
      "/readyz says full when more requests wait; default: when the next one would be rejected",
      integer(0, 1_000_000),
    )
    .option("--no-page", "do not answer browsers with the page")
    .option("--body-limit <size>", "largest request; default: 16MiB", size)
    .option("--drain <time>", "time for running answers after SIGTERM; new requests get a 503", seconds(0, DAY), 30)
    .option(
      "--keep-alive <time>",
      "how long idle connections are kept; gateways should keep theirs for less",
      seconds(1, DAY),
      75,
    )
    .option("--activity <folder>", "where counts of requests and tokens are kept; default: in the cache directory")
    .option("--no-activity", "count nothing for the page's charts")
    .addOption(
      new Option("--log <format>", "a line on stderr for each request")
        .choices(["text", "json", "off"])
        .default("text"),
    );
  command.hook("preAction", async () => {
    const { config } = command.opts<ServeFlags>();
    if (config !== undefined) await command.readConfig(config);
  });
  addReasoningOptions(addModelOptions(command)).action(async (args: readonly string[], flags: ServeFlags) => {
    const models = args.length > 0 ? args : (flags.model ?? []);
    if (models.length === 0 && flags.modelsDir === undefined)
      command.error("missing a model: a weights folder, a GGUF file, a name on the model hub, or --models-dir");
    if (flags.apiKey === "") command.error("--api-key is empty: leave it out, or give a key");
    let drain: (() => void) | null = null;
    const work = (signal: AbortSignal): Promise<void> =>
      serve(models, flags, { openChat, share, version, misspelt: command.misspelt() }, signal, (begin) => {
        drain = begin;
      });
    await interruptible(work, () => {
      const begin = drain;
      drain = null; // the second SIGTERM ends at once
      begin?.();
      return begin !== null;
    });
  });
  program.addCommand(command);
}

interface Parts {
  readonly openChat: OpenChat;
  readonly version: string | undefined;
  readonly misspelt: ReturnType<EnvCommand["misspelt"]>;
  readonly share: typeof shareBudget;
}

/** @param onTerminate called with a function that begins draining, once there is a model */
async function serve(
  models: readonly string[],
  flags: ServeFlags,
  { openChat, share, version = "unknown", misspelt }: Parts,
  signal: AbortSignal,
  onTerminate: (begin: () => void) => void,
): Promise<void> {
  const { parallel, queue, readyQueue } = flags;
  const begun = performance.now();
  // Here, because no other command needs them.
  const { createLog } = await import("../server/log.ts");
  const { startServer } = await import("../server/node_serve.ts");
  const log = createLog(flags.log, toStderr);
  const keys = await watchedKeys(flags, log);
  const { openActivity } = await import("../server/node_activity.ts");
  const activity =
    flags.activity === false ? null : openActivity(activityFolder(flags.activity), { warn: log.warning });
  let served: Serving | null = null;
  const { pullOneByOne } = await import("./serve_pull.ts");
  const pull = pullOneByOne(async (name, path) => served?.add?.(name, path));
  // Listens first: a port that is taken is found at once, and requests during loading get a 503
  // that says so.
  const fd = handedSocket();
  const server = await startServer(null, {
    ...pick(flags, LISTEN),
    ...(fd !== null && { fd }),
    ...(keys.required && { apiKey: () => keys.valid }),
    ...(flags.allowPull && { pull }),
    ...(activity && { activity }),
    version,
    hosts: flags.allowHost ?? [],
    idleMs: flags.keepAlive * 1000,
    answersAtOnce: Math.min(4, parallel),
    loadWaitMs: flags.loadWait * 1000,
    capacity: { parallel, queue, ...(readyQueue !== undefined && { readyQueue }) },
    onRequest: log.request,
    log: log.error,
  });
  const tellSystemd = async (state: "READY=1" | "STOPPING=1", status: string): Promise<void> => {
    const failure = await notifySystemd(state, status);
    if (failure !== null) log.warning(failure);
  };
  let message: string | undefined;
  try {
    // No URL yet: programs that start the server take the first URL in its output as a sign
    // that it answers.
    log.event("listening", { address: server.address, pid: process.pid, version });
    for (const { found, meant } of misspelt) log.warning(`${found} is no option; did you mean ${meant}?`);
    served = await load(models, flags, { openChat, share, log }, signal);
    const terminated = new Promise<void>((resolve) => onTerminate(resolve));
    server.ready(served.models);
    const loadMs = Math.round(performance.now() - begun);
    log.event("ready", { url: server.url, ...served.ready, load_ms: loadMs });
    void tellSystemd("READY=1", `${named(served.models)} at ${server.address}`);
    await print(`${greeting(served.models, server, flags, keys.required)}\n`, signal);
    await Promise.race([terminated, aborted(signal)]);
    const { running, queued } = loadOf(served.models);
    log.event("draining", { seconds: flags.drain, running, queued });
    void tellSystemd("STOPPING=1", "finishing answers");
    const finished = await server.drain(flags.drain * 1000, signal);
    if (!finished) message = cutShort(flags.drain, signal);
    signal.throwIfAborted();
    if (finished) exitSoon(0, CLOSING_MS);
    else exitSoon(0); // a step of an aborted answer may take long
  } finally {
    keys.close();
    await server.close(message);
    await activity?.close();
    await served?.close();
    if (served) log.event("stopped", {});
  }
}

/** The keys that clients may send. SIGHUP reads their file again; without one it ends hotset. */
async function watchedKeys({ apiKey, apiKeyFile }: ServeFlags, log: Log) {
  const read = async (): Promise<readonly string[]> => [
    ...(apiKey === undefined ? [] : [apiKey]),
    ...(await readKeys(apiKeyFile)),
  ];
  let valid = await read();
  const reread = async (): Promise<void> => {
    try {
      valid = await read();
      log.event("keys", { count: valid.length });
    } catch (error) {
      log.warning(`${(error as Error).message}; the keys from before stay valid`);
    }
  };
  const onHangUp = (): void => void reread();
  if (apiKeyFile !== undefined) process.on("SIGHUP", onHangUp);
  return {
    get valid() {
      return valid;
    },
    required: valid.length > 0,
    close: () => void process.off("SIGHUP", onHangUp),
  };
}

interface Serving {
  readonly models: ServedModels;
  /** What the log says of them when they are ready. */
  readonly ready: Readonly<Record<string, string | number>>;
  /** Absent: it serves one model. */
  readonly add?: ManyModels["add"];
  close(): Promise<void>;
}

/** One model, which is loaded now; or several, or one that may be unloaded, which come and go. */
async function load(
  models: readonly string[],
  flags: ServeFlags,
  { openChat, share, log }: Pick<Parts, "openChat" | "share"> & { readonly log: Log },
  signal: AbortSignal,
): Promise<Serving> {
  const { parallel, queue } = flags;
  const options = { ...openOptions(flags), needTokenizer: true, parallel, queue };
  const open: OpenChat = async (path, more) => withDefaults(await openChat(path, more), chatDefaults(flags));
  const { modelsDir, idleUnload, allowPull, pin } = flags;
  if (models.length > 1 || modelsDir !== undefined || idleUnload !== undefined || allowPull || pin !== undefined) {
    const { openMany } = await import("./serve_models.ts");
    const parts = { open: (path: string, more: object) => open(path, { ...options, ...more }), options, share, log };
    const { pool, add } = await openMany(models, flags, parts, signal);
    const ready = { models: pool.cards().length };
    return { models: pool, ready, add, close: () => pool.close("the server is closing") };
  }
  const model = await openPlace(open, models[0]!, options, flags, signal);
  const ready = { model: model.name, context: model.context };
  return { models: serveOne(model), ready, close: () => model.close() };
}

/** Rejects when `signal` aborts. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const leave = (): void => reject(signal.reason);
    if (signal.aborted) leave();
    signal.addEventListener("abort", leave, { once: true });
  });
}

/** The error of answers that were not finished when the server closed. */
function cutShort(seconds: number, signal: AbortSignal): string {
  const why = signal.aborted ? "it was told to end at once" : `--drain gave answers ${seconds} s`;
  return `the server is closing before this answer was finished: ${why}`;
}

function toStderr(line: string): void {
  if (process.stderr.writableLength < LOG_WAITS) process.stderr.write(line);
}

/** Names of models, also separated by commas. */
function names(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, ...text.split(",").map((one) => one.trim())];
}

function hostName(text: string, before: readonly string[] = []): readonly string[] {
  checked((name: string) => hostCheck([name]))(text);
  return [...before, text];
}

/** Checks that browsers can send such an origin. */
function origin(text: string, before: readonly string[] = []): readonly string[] {
  const origins = text.split(",").map((one) => one.trim());
  const known = (one: string): boolean => /^(\*|null|[a-z][a-z0-9+.-]*:\/\/[^\s/*?#]+\/?)$/i.test(one);
  if (origins.every(known)) return [...before, ...origins];
  throw new InvalidArgumentError('Expected an origin, as "https://app.example", or * for any.');
}

/** The names of the models; of many the first ones. */
function named(models: ServedModels): string {
  const ids = models.cards().map(({ id }) => id);
  const more = ids.length > MOST_NAMED ? ` and ${ids.length - MOST_NAMED} more` : "";
  return ids.slice(0, MOST_NAMED).join(", ") + more;
}

/** The address, a command to try it, and where the page is. */
function greeting(models: ServedModels, { url, address }: RunningServer, { page }: ServeFlags, keyed: boolean): string {
  const base = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
  // The path of a Unix socket that was handed over is in the socket unit.
  const socket = address.startsWith("fd:") ? "<its path>" : socketPath(address);
  const via = socket === null ? "" : ` --unix-socket ${socket}`;
  const key = keyed ? ` -H "authorization: Bearer $HOTSET_API_KEY"` : "";
  const { id } = models.cards()[0]!;
  const body = JSON.stringify({ model: id, messages: [{ role: "user", content: "Tell me a story." }] });
  const lines = [
    `${named(models)} at ${socket ?? url} (OpenAI: ${base}/v1, Anthropic: ${base}); Ctrl-C ends it. Try:`,
    `curl${via} ${base}/v1/chat/completions -H "content-type: application/json"${key} -d '${body.replaceAll("'", "'\\''")}'`,
  ];
  if (page !== false && socket === null) lines.push(`The page: ${base}/`);
  if (!keyed && !/^(127\.|\[::1\]|localhost:|unix:|fd:)/.test(address)) {
    lines.push("Anyone who can reach this address can use the model; --api-key requires a key.");
  }
  return lines.join("\n");
}
