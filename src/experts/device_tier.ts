// The tier in device memory: handles the misses of each layer's step and keeps host, link and
// device busy meanwhile.
//
//   misses()   uses -> cache -> plan; computes experts from RAM or uploads them to transit slots
//   in between (the device computes, the host waits) uploads admissions and predictions in pieces
//   prepare()  completes the admissions of the layer's last step

import type { DeviceExperts, DeviceMoe, DeviceScheduler, ExpertUse } from "../backend/experts.ts";
import { abortReason, RequestError } from "../errors.ts";
import { Admissions } from "./admissions.ts";
import type { Clock } from "./clock.ts";
import type { Costs } from "./costs.ts";
import { Counters } from "./counters.ts";
import { LayerCache, type Policy } from "./layer_cache.ts";
import { MissHandler } from "./miss_handler.ts";
import type { Predict } from "./prediction.ts";
import { Prefetch } from "./prefetch.ts";
import type { RamRecords } from "./ram_records.ts";
import { type Rows, rowsByExpert } from "./routes.ts";
import type { Where } from "./schedule.ts";
import { Ring, Uploads } from "./uploads.ts";

export interface DeviceTierOptions {
  readonly device: DeviceExperts;
  readonly ram: RamRecords;
  readonly policy: (layer: number) => Policy;
  readonly costs: Costs;
  readonly clock: Clock;
  /** Predicts the next layer's experts (prediction.ts); absent: nothing is prefetched. */
  readonly predict?: Predict | undefined;
  /** Decides whether to prefetch while decoding, from the time of each token. Default: always. */
  readonly prefetchTrial?: { readonly on: boolean; step(ms: number): void } | undefined;
  /** Where misses may be computed. Default: wherever is faster. */
  readonly places?: readonly Where[] | undefined;
  /** Bytes of an upload's piece; a multiple of 4. */
  readonly piece?: number | undefined;
  /** Shared by the tiers of one model; default: the tier is the only one. */
  readonly thread?: StepThread | undefined;
}

/** Weight of the latest gap between two calls of misses(). */
const GAP_WEIGHT = 0.25;

/** The step's thread, which all tiers of a model share. */
export class StepThread {
  /** It has work: no background uploads now. */
  busy = false;
  /** When misses() last ended, and the average time until it is called again. */
  ended: number | null = null;
  gap = 0;
}

export class DeviceTier implements DeviceScheduler {
  readonly caches: readonly LayerCache[];
  readonly counters: Counters;
  readonly #options: DeviceTierOptions;
  readonly #places: readonly Where[];
  readonly #uploads: Uploads;
  readonly #admissions: Admissions;
  readonly #prefetch: Prefetch;
  readonly #ring: Ring;
  readonly #thread: StepThread;
  #filling = false;
  #closed = false;
  /** When the step's thread will probably be needed. */
  #idleUntil = 0;
  /** When prepare() last ended, and when the current token's first layer was prepared. */
  #prepared = 0;
  #tokenBegan = 0;
  #lastTokens = 0;

  /** @throws RequestError if misses can be computed nowhere */
  constructor(options: DeviceTierOptions) {
    const { device, ram, policy, clock, costs } = options;
    this.#options = options;
    this.#thread = options.thread ?? new StepThread();
    this.#places = (options.places ?? ["host", "device"]).filter((where) => where === "host" || device.transit > 0);
    if (this.#places.length === 0)
      throw new RequestError("experts that are in no slot cannot be uploaded: at least one transit slot is needed");
    this.counters = new Counters(device.layers);
    this.caches = Array.from(
      { length: device.layers },
      (_, layer) => new LayerCache(device.shape.count, device.slots, policy(layer)),
    );
    const { caches, counters } = this;
    const uploads = new Uploads({ device, host: ram.experts, clock, costs, counters, piece: options.piece });
    this.#uploads = uploads;
    this.#ring = new Ring(device.transit);
    this.#admissions = new Admissions({ device, ram, caches, uploads, clock });
    this.#prefetch = new Prefetch({ device, ram, caches, uploads, ring: this.#ring, counters });
  }

  prepare(layer: number): void | Promise<void> {
    this.#check();
    if (layer === 0) this.#tokenBegan = this.#options.clock.now();
    if (this.#admissions.pending(layer)) return this.#finish(layer);
    this.#prepared = this.#options.clock.now();
  }

  async misses(step: DeviceMoe): Promise<void> {
    this.#check();
    const { clock } = this.#options;
    const started = clock.now();
    this.counters.ms.sync += started - this.#prepared;
    const thread = this.#thread;
    if (thread.ended !== null && step.layer > 0) thread.gap += GAP_WEIGHT * (started - thread.ended - thread.gap);
    this.#thread.busy = true;
    try {
      await this.#misses(step);
    } catch (error) {
      this.#admissions.drop(step.layer);
      this.#prefetch.settle(-1, [], []);
      throw error;
    } finally {
      this.#thread.busy = false;
    }
    this.#thread.ended = clock.now();
    this.#fill();
    const last = step.layer === this.#options.device.layers - 1;
    if (last) this.#tokenEnds(step.x.length / this.#options.device.shape.hidden);
  }

  /** Evicts all experts after a warm-up. Between steps. */
  clear(): void {
    this.#prefetch.settle(-1, [], []);
    this.#admissions.clear();
  }

  /** Stops uploading and releases pins. Running steps end with an error. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#prefetch.settle(-1, [], []);
    this.#admissions.close();
  }

  async #misses(step: DeviceMoe): Promise<void> {
    const { device, ram, costs } = this.#options;
    const { layer, x } = step;
    if (step.signal?.aborted) throw abortReason(step.signal);
    const tokens = x.length / device.shape.hidden;
    const rows = rowsByExpert(step.ids, step.weights, step.ids.length / Math.max(1, tokens));
    const uses = rows.map((row): ExpertUse => ({ expert: row.expert, tokens: row.tokens.length }));
    const { hits, misses } = this.caches[layer]!.begin(uses, tokens);
    this.counters.begin(layer, tokens, hits.length, misses.length);
    this.counters.layers[layer]!.admissions += this.#admissions.decide(layer, misses);
    this.#uploads.deviceBegins(hits.reduce((ms, { tokens }) => ms + costs.deviceCompute(tokens), 0));
    ram.begin(layer, misses, tokens);
    const prefetched = this.#prefetch.settle(layer, uses.map(expertOf), misses.map(expertOf));
    this.#target(layer, x, tokens);
    const missing = new Set(misses.map(expertOf));
    await new MissHandler({
      ...this.#options,
      step,
      rows: rows.filter(({ expert }: Rows) => missing.has(expert)),
      prefetched,
      places: this.#places,
      uploads: this.#uploads,
      admissions: this.#admissions,
      ring: this.#ring,
      counters: this.counters,
      whileIdle: (event) => this.#whileIdle(event),
      allRead: () => this.#prefetch.read(),
      check: () => this.#check(),
    }).run();
  }

  /**
   * Sets what to prefetch: in a prompt all experts of the next layer, while decoding the predicted.
   */
  #target(layer: number, x: Float32Array, tokens: number): void {
    const { device, predict, prefetchTrial } = this.#options;
    if (!predict || layer + 1 >= device.layers || tokens === 0) return;
    if (this.#isPrompt(tokens))
      this.#prefetch.target(
        layer + 1,
        Array.from({ length: device.shape.count }, (_, e) => e),
      );
    else if (prefetchTrial?.on ?? true) this.#prefetch.target(layer + 1, predict(layer, x));
  }

  /** Whether a step has so many tokens that nearly all experts are used. */
  #isPrompt(tokens: number): boolean {
    return tokens >= 2 * this.#options.device.shape.count;
  }

  async #finish(layer: number): Promise<void> {
    const { clock } = this.#options;
    const started = clock.now();
    this.#thread.busy = true;
    try {
      await this.#admissions.finish(layer);
    } finally {
      this.#thread.busy = false;
    }
    this.#prepared = clock.now();
    this.counters.ms.stall += this.#prepared - started;
  }

  /** Waits for `event` and uploads in the background meanwhile. */
  async #whileIdle(event: Promise<void>): Promise<void> {
    this.#thread.busy = false;
    this.#fill();
    await event;
    this.#thread.busy = true;
  }

  /**
   * Background uploads, predictions first, until the step's thread is needed: as many pieces as the
   * link can carry before the next misses(), and then one whenever the device is idle.
   */
  async #fill(): Promise<void> {
    const { clock } = this.#options;
    this.#idleUntil = clock.now() + this.#thread.gap;
    if (this.#filling) return;
    this.#filling = true;
    try {
      for (;;) {
        // Let the step submit its commands before this piece.
        await clock.turn();
        if (this.#thread.busy || this.#closed) return;
        if (!(await this.#prefetch.send()) && !this.#admissions.send()) return;
        if (clock.now() + this.#uploads.busy.link < this.#idleUntil) continue;
        await this.#uploads.idle();
        this.#uploads.check();
      }
    } catch {
      // The device has failed: the next step throws, in uploads.check() or in its own call.
    } finally {
      this.#filling = false;
    }
  }

  /** Tells the trial how long a decoded token took, without the caller's time between tokens. */
  #tokenEnds(tokens: number): void {
    const { prefetchTrial, clock } = this.#options;
    if (prefetchTrial && !this.#isPrompt(tokens) && tokens === this.#lastTokens)
      prefetchTrial.step(clock.now() - this.#tokenBegan);
    this.#lastTokens = tokens;
  }

  #check(): void {
    if (this.#closed) throw new RequestError("the model is closed");
    this.#uploads.check();
  }
}

function expertOf({ expert }: ExpertUse): number {
  return expert;
}
