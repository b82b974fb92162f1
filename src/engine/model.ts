// A model ready to use: weights on a backend, a KV cache, a tokenizer; sessions come from here.

import { contentBytes, layersOf, planesOf } from "../backend/kv_block.ts";
import type { Batch, KvStore, Ops } from "../backend/ops.ts";
import type { ChatConventions } from "../chat/conventions.ts";
import { MemoryError, RequestError } from "../errors.ts";
import type { ExpertStats } from "../experts/stats.ts";
import type { RouteStep } from "../experts/trace.ts";
import { createGrammars } from "../grammar/grammars.ts";
import { createThreadedGrammars } from "../grammar/threaded.ts";
import type { Grammars } from "../grammar/types.ts";
import type { GrammarWorker } from "../grammar/worker_protocol.ts";
import type { Output, RouteWatcher } from "../model/decoder.ts";
import { type Architecture, hasStates, kvGeometry, sparseLayers } from "../model/family.ts";
import { windowsOf } from "../model/layer_kinds.ts";
import { ropeLengths } from "../model/rope.ts";
import type { Tensor } from "../tensor/types.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import type { SamplingOptions, Session } from "./api.ts";
import type { ChatModel } from "./chat_api.ts";
import { createChatModel } from "./chat_model.ts";
import type { Claim } from "./claim.ts";
import type { DraftModel } from "./drafter.ts";
import { Drafting } from "./drafting.ts";
import { createBlockPool } from "./kv.ts";
import type { Model } from "./model_api.ts";
import { createQueue, type Queue } from "./queue.ts";
import { createRoom } from "./room.ts";
import { tracedLogits } from "./route_trace.ts";
import { RouteWatch } from "./route_watch.ts";
import { type Fingerprint, readSaved, type SavedShape, writeSaved } from "./saved.ts";
import { withJsonSchemas } from "./schemas.ts";
import { createSession } from "./session.ts";
import type { Restored } from "./session_context.ts";
import { spellingOf } from "./spelling.ts";
import { createStepper, type Runner } from "./stepper.ts";
import { StreamedChunks } from "./streamed_chunks.ts";
import { textCodec } from "./text.ts";
import { maxRows, toBatch } from "./work.ts";

export type { Model, ServingOptions } from "./model_api.ts";

export interface ModelParts {
  readonly label: string;
  readonly architecture: Architecture;
  readonly tokenizer: Tokenizer | null;
  /** Its chat conventions, or the error that chat() throws. */
  readonly chat: ChatConventions | Error;
  readonly ops: Ops;
  readonly kv: KvStore;
  readonly kvBytes: number;
  readonly context: number;
  readonly weights: string;
  readonly repacked: string | null;
  readonly tokenizerNote?: string | null;
  readonly eos: ReadonlySet<number>;
  /** Texts that end every answer, from the folder. */
  readonly stops?: readonly string[];
  readonly sampling: SamplingOptions;
  readonly loadMs: number;
  readonly parameters: { readonly total: number; readonly active: number };
  readonly forward: (batch: Batch | "next", watch?: RouteWatcher, output?: Output) => Promise<Tensor>;
  /** Where experts are offloaded. */
  readonly experts?: () => ExpertStats;
  /** Tokens of a prompt's first chunks there; they grow up to ops.maxTokens. Default: that. */
  readonly usualChunk?: number;
  readonly onRoutes?: ((step: RouteStep) => void) | undefined;
  /** False: no tokens are drafted. */
  readonly speculates?: boolean;
  /** Drafts tokens where the text does not say what may follow; closes with the model. */
  readonly draft?: DraftModel | null;
  /** Starts a thread that compiles grammars. */
  readonly startGrammarWorker?: () => GrammarWorker;
  /** Milliseconds that compiling a grammar may take. */
  readonly compileDeadline?: number | undefined;
  readonly release: () => Promise<void>;
}

export function createModel(parts: ModelParts): Model {
  const { ops, kv, architecture } = parts;
  const { vocab } = architecture;
  const pool = createBlockPool(kv, parts.kvBytes, ops.maxTokens);
  const room = createRoom(pool);
  const context = Math.min(parts.context, room.capacity); // no more than the memory has room for
  const watch = new RouteWatch(ops, sparseLayers(architecture).length);
  const runner = runnerOf(parts, watch);
  const stepper = createStepper(runner, room, ops.maxTokens, vocab);
  const text = textCodec(parts.tokenizer, parts.label);
  const open = new Set<Session>();
  let grammars: Grammars | null = null;
  const shape = savedShape(parts);
  const lengths = ropeLengths(architecture);
  const { rowsAgree = 0 } = ops;
  const noDrafts = whyNoDrafts(parts);
  const words = { vocab, spelling: parts.tokenizer && spellingOf(parts.tokenizer, vocab), encode: text.plain };
  const drafting = noDrafts === null ? new Drafting(words, rowsAgree, () => !watch.on, parts.draft ?? null) : null;
  let closing: Promise<void> | null = null;

  const alive = (): void => {
    if (closing) throw new RequestError("the model is closed");
  };
  let chatting: ChatModel | null = null; // for chat()
  const queues: Queue[] = [];

  function checkIds(call: string, ids: readonly number[]): void {
    if (ids.length > context) {
      throw new RequestError(`${call}: ${ids.length} tokens do not fit in the context of ${context}`, {
        code: "context_length_exceeded",
        overflow: { tokens: ids.length, context },
      });
    }
    const bad = ids.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= vocab);
    if (bad >= 0) {
      throw new RequestError(`${call}: token ${bad}: expected an id from 0 to ${vocab - 1}, found ${ids[bad]}`);
    }
  }

  /** Computes `ids` chunk by chunk, in a temporary sequence. */
  async function inChunks(
    ids: readonly number[],
    size: number,
    signal: AbortSignal | undefined,
    compute: (sequence: Claim, chunk: readonly number[], at: number) => Promise<void>,
  ): Promise<void> {
    const sequence = room.claim();
    sequence.readAs(ids.length, lengths);
    room.begin(sequence, ids.length);
    try {
      await stepper.hold(sequence, ids, 0, signal);
      for (let at = 0; at < ids.length; at += size) await compute(sequence, ids.slice(at, at + size), at);
    } finally {
      room.end(sequence);
      room.remove(sequence);
    }
  }

  /**
   * Appends tokens to a sequence that holds its blocks, between steps; returns their hidden states
   * [T, D].
   */
  async function hidden(sequence: Claim, tokens: readonly number[], cut: AbortSignal): Promise<Float32Array> {
    const { length: position } = sequence;
    await room.place(sequence, position + tokens.length);
    const batch = toBatch([{ sequence, tokens, position, wanted: "all" }], cut);
    sequence.stepping(position);
    const rows = await ops.read(await parts.forward(batch, undefined, "hidden"));
    sequence.reached(position + tokens.length);
    return rows;
  }

  function begin(restored: Restored | null): Session {
    const session: Session = createSession(
      {
        stepper,
        room,
        text,
        vocab,
        context,
        lengths,
        ...(drafting && { speculate: (ahead, held) => drafting.begin(ahead && stepper.runsAhead, held) }),
        eos: parts.eos,
        stops: parts.stops ?? [],
        sampling: parts.sampling,
        save: (tokens, { anchor, blocks, state }, seen) =>
          writeSaved(
            shape,
            { tokens, anchor, seen: pool.windows?.seen(tokens.length) ?? seen },
            (index) => kv.readBlock(blocks[index]!),
            state ? () => kv.states!.read(state.slot) : undefined,
          ),
        onClose: () => open.delete(session),
      },
      restored,
    );
    open.add(session);
    return session;
  }

  const model: Model = {
    config: architecture.config,
    architecture,
    chat(messages, options = {}) {
      chatting ??= this.serving();
      return chatting.chat(messages, withJsonSchemas(options));
    },
    serving({ name = nameOf(parts.label), parallel = Number.POSITIVE_INFINITY, queue = 0 } = {}) {
      alive();
      if (parts.chat instanceof Error) throw parts.chat;
      const turns = createQueue({ parallel, queue }, room.hasRoom);
      queues.push(turns);
      return createChatModel({ name, model: this, conventions: parts.chat, queue: turns, sampling: parts.sampling });
    },
    get tokenizer() {
      if (parts.tokenizer === null) throw new RequestError(`${parts.label} has no tokenizer: it takes token ids only`);
      return parts.tokenizer;
    },
    get grammars() {
      alive();
      grammars ??= parts.startGrammarWorker
        ? createThreadedGrammars(this.tokenizer, vocab, parts.eos, {
            start: parts.startGrammarWorker,
            ...(parts.compileDeadline !== undefined && { deadlineMs: parts.compileDeadline }),
          })
        : createGrammars(this.tokenizer, vocab, parts.eos);
      return grammars;
    },
    session() {
      alive();
      return begin(null);
    },
    async restore(bytes, signal) {
      alive();
      const saved = readSaved(bytes, shape, vocab, context);
      const claim = room.claim();
      claim.readAs(saved.anchor, lengths);
      room.begin(claim, saved.tokens.length);
      try {
        await stepper.hold(claim, saved.tokens, saved.tokens.length, signal);
        await stepper.between(async (cut) => {
          for (const [i, block] of saved.blocks.entries()) {
            cut.throwIfAborted();
            await kv.writeBlock(claim.blocks[i]!, block);
          }
          if (saved.state) await kv.states!.write(claim.state!.slot, saved.state);
          claim.reached(saved.tokens.length);
        }, signal);
        alive();
      } catch (error) {
        room.remove(claim);
        throw error;
      }
      room.end(claim);
      return begin({ tokens: saved.tokens, claim, seen: saved.seen ?? 0 });
    },
    async logits(ids, signal) {
      alive();
      checkIds("logits", ids);
      const result = allocate(ids.length * vocab);
      const size = Math.min(stepper.maxTokens, maxRows(vocab));
      await inChunks(ids, size, signal, async (sequence, chunk, at) => {
        result.set(await stepper.step(sequence, chunk, "all", signal), at * vocab);
      });
      return result;
    },
    async embed(ids, signal) {
      alive();
      checkIds("embed", ids);
      if (ids.length === 0) throw new RequestError("embed: expected at least one token, found none");
      const sum = new Float64Array(architecture.hidden);
      await inChunks(ids, stepper.maxTokens, signal, async (sequence, chunk) => {
        const rows = await stepper.between((cut) => hidden(sequence, chunk, cut), signal);
        for (let i = 0; i < rows.length; i++) sum[i % sum.length]! += rows[i]!;
      });
      return unit(sum);
    },
    stats: () => ({
      backend: ops.info,
      weights: parts.weights,
      repacked: parts.repacked,
      tokenizerNote: parts.tokenizerNote ?? null,
      kv: kv.precision,
      context,
      memory: ops.memory(),
      blocks: pool.usage(),
      room: room.usage(),
      loadMs: parts.loadMs,
      parameters: parts.parameters,
      sessions: open.size,
      experts: parts.experts?.() ?? null,
      speculation: drafting?.stats() ?? null,
      noDrafts,
    }),
    watchRoutes(listener) {
      alive();
      return watch.add(listener);
    },
    close() {
      closing ??= (async () => {
        watch.close();
        for (const queue of queues) queue.close();
        await stepper.close();
        grammars?.close();
        for (const session of open) session.close();
        kv.close();
        ops.close();
        await parts.draft?.model.close();
        await parts.release();
      })();
      return closing;
    },
  };
  return model;
}

/**
 * The last part of a path or URL, such as "Mistral-Small-Instruct"; of a folder in the hub's cache
 * (models--owner--name/snapshots/<commit>) the repository's.
 */
function nameOf(label: string): string {
  const cached = /models--[^/\\]+?--([^/\\]+)[/\\]snapshots[/\\][^/\\]+[/\\]?$/.exec(label);
  if (cached) return cached[1]!;
  return label.split(/[\\/]/).findLast((part) => part !== "" && part !== ".") ?? label;
}

function whyNoDrafts({ speculates, architecture, onRoutes, ops }: ModelParts): string | null {
  if (speculates === false) return "speculation is off";
  if (hasStates(architecture)) return "layers with states cannot go back to where a draft was wrong";
  if (onRoutes) return "routes are traced, which are of the text's tokens alone";
  if ((ops.rowsAgree ?? 0) < 2) return "on a GPU they are made where --speculation lookup or --draft asks for them";
  return null;
}

/**
 * The properties of the model that its keys and values depend on: not its name, nor where it runs.
 */
function savedShape({ architecture, kv, weights }: ModelParts): SavedShape {
  const { eos_token_id, bos_token_id, stored, max_position_embeddings, ...fields } = architecture.config;
  const named = Object.entries(fields).map(([name, value]) => {
    return [name, typeof value === "string" || typeof value === "number" || value === null ? value : String(value)];
  });
  const geometry = kvGeometry(architecture);
  const windows = windowsOf(architecture);
  const each = planesOf(geometry);
  const { windowed } = layersOf({ ...geometry, ...(windows && { windows }) });
  return {
    fingerprint: { ...(Object.fromEntries(named) as Fingerprint), weights, kv: kv.precision },
    blockSize: kv.blockSize,
    planes: each * geometry.layers,
    windowed: windowed.flatMap((layer) => Array.from({ length: each }, (_, side) => each * layer + side)),
    blockBytes: contentBytes(geometry, kv.precision, kv.blockSize),
    ...(kv.states && { stateBytes: kv.states.slotBytes }),
  };
}

/**
 * The largest chunk of a prompt while other sessions wait for it, on a backend that does not say
 * how long it takes: of 30B parameters a few seconds on a small CPU.
 */
const SHARED_CHUNK = 128;

/** Computes the steps of a model on a backend. */
function runnerOf(parts: ModelParts, watch: RouteWatch): Runner {
  const { ops, architecture, experts, onRoutes, usualChunk: usual = ops.maxTokens } = parts;
  const stalledMs = (): number => experts!().ms.stall;
  const grows = experts !== undefined && usual < ops.maxTokens;
  const streamed = grows ? new StreamedChunks({ usual, most: ops.maxTokens, stalledMs }) : null;
  const forward: ModelParts["forward"] = streamed
    ? (batch, ...more) => streamed.step(batch === "next" ? 1 : batch.tokens.length, () => parts.forward(batch, ...more))
    : parts.forward;
  const largest = (): number => streamed?.tokens ?? ops.maxTokens;
  // Only steps whose result is wanted may be traced: none runs ahead and is then discarded.
  const chunk = (position: number, alone: boolean): number =>
    ops.chunk?.(position) ?? (alone ? largest() : Math.min(SHARED_CHUNK, largest()));
  if (onRoutes) {
    const traced = (step: RouteStep): void => {
      onRoutes(step);
      watch.tell(step, 0);
    };
    return { chunk, logits: tracedLogits(ops, sparseLayers(architecture).length, forward, traced) };
  }
  const { choosing } = ops;
  const logits = async (batch: Batch) => {
    if (!watch.on) return ops.read(await forward(batch));
    return (await watch.step(batch, forward, (out) => ops.read(out))).ends;
  };
  if (!choosing) return { chunk, logits };
  return {
    chunk,
    logits,
    choosing: {
      ahead: experts === undefined, // it does not help steps that wait for experts
      // One draw in twenty falls outside of the device's candidates where nothing limits them. With
      // states that costs up to a block of positions, which are computed again; with missing
      // experts they are brought again.
      create: (settings) => {
        const unlimited = settings.temperature > 0 && settings.topK === 0;
        return unlimited && (experts || hasStates(architecture)) ? null : choosing.create(settings);
      },
      async submit(batch) {
        if (batch !== "next") watch.batch = batch;
        if (!watch.on) return { ids: choosing.choose(await forward(batch)) };
        return { ids: (await watch.step(batch, forward, (out) => choosing.choose(out))).ends };
      },
    },
  };
}

function allocate(size: number): Float32Array {
  try {
    return new Float32Array(size);
  } catch {
    throw new MemoryError(`logits: ${size} numbers do not fit in memory; ask for fewer positions at a time`);
  }
}

/** A vector of length 1 in the direction of `sum`. */
function unit(sum: Float64Array): Float32Array {
  const length = Math.hypot(...sum);
  return Float32Array.from(sum, (x) => (length > 0 ? x / length : 0));
}
