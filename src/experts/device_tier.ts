// The tier in device memory: for each step of a layer decides what becomes of the experts that are in no slot, and keeps host,
// link and device busy with it.
//
//   misses()  uses -> cache -> plan; then, in the plan's order, computes experts from RAM or sends them to transit slots
//   between   (the device computes, the host waits) sends admissions and guesses, a piece at a time
//   prepare() completes what the layer's last step has admitted

import type { DeviceExperts, DeviceMoe, DeviceScheduler, ExpertUse } from "../backend/experts.ts";
import { abortReason, RequestError } from "../errors.ts";
import { Admissions } from "./admissions.ts";
import type { Clock } from "./clock.ts";
import type { Costs } from "./costs.ts";
import { Counters } from "./counters.ts";
import type { Guess } from "./guess.ts";
import type { HostTier } from "./host.ts";
import { LayerCache, type Policy } from "./layer_cache.ts";
import { Prefetch } from "./prefetch.ts";
import { type Rows, rowsByExpert } from "./routes.ts";
import type { Where } from "./schedule.ts";
import { StepOfMisses } from "./step_of_misses.ts";
import { Ring, Uploads } from "./uploads.ts";

export interface DeviceTierOptions {
  readonly device: DeviceExperts;
  readonly ram: HostTier;
  readonly policy: (layer: number) => Policy;
  readonly costs: Costs;
  readonly clock: Clock;
  /** Experts that the next layer will probably use, likeliest first (guess.ts); left out: nothing is prefetched. */
  readonly guess?: Guess | undefined;
  /** Whether guesses are acted on while decoding, and who hears how long a token took (pays_gate.ts). Default: always. */
  readonly gate?: { readonly on: boolean; step(ms: number): void } | undefined;
  /** Where misses may be computed. Default: wherever is sooner. */
  readonly places?: readonly Where[] | undefined;
  /** Bytes that are handed over at a time; a multiple of 4. */
  readonly piece?: number | undefined;
}

/** Weight of the latest time between two steps of misses. */
const GAP_WEIGHT = 0.25;

export class DeviceTier implements DeviceScheduler {
  readonly caches: readonly LayerCache[];
  readonly counters: Counters;
  readonly #options: DeviceTierOptions;
  readonly #places: readonly Where[];
  readonly #uploads: Uploads;
  readonly #admissions: Admissions;
  readonly #prefetch: Prefetch;
  readonly #ring: Ring;
  /** The step's thread has work of its own: nothing is sent in between. */
  #busy = false;
  #filling = false;
  #closed = false;
  /** When the last step of misses ended, and how long it is from there to the next on average. */
  #ended: number | null = null;
  #gap = 0;
  /** When the step's thread will probably be wanted. */
  #idleUntil = 0;
  /** When the last layer was prepared, and the first one of this token. */
  #prepared = 0;
  #tokenBegan = 0;
  #lastTokens = 0;

  /** @throws RequestError if there is no way to compute a miss */
  constructor(options: DeviceTierOptions) {
    const { device, ram, policy, clock, costs } = options;
    this.#options = options;
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
    if (this.#ended !== null && step.layer > 0) this.#gap += GAP_WEIGHT * (started - this.#ended - this.#gap);
    this.#busy = true;
    try {
      await this.#misses(step);
    } catch (error) {
      this.#admissions.drop(step.layer);
      this.#prefetch.settle(-1, [], []);
      throw error;
    } finally {
      this.#busy = false;
    }
    this.#ended = clock.now();
    this.#fill();
    const last = step.layer === this.#options.device.layers - 1;
    if (last) this.#tokenEnds(step.x.length / this.#options.device.shape.hidden);
  }

  /** Forgets who has a slot: what came before, a warm-up, was no real work. Between steps. */
  clear(): void {
    this.#prefetch.settle(-1, [], []);
    this.#admissions.clear();
  }

  /** Nothing more is sent; pins are released. The steps that run end with an error. */
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
    const ahead = this.#prefetch.settle(layer, uses.map(expertOf), misses.map(expertOf));
    this.#aim(layer, x, tokens);
    const missing = new Set(misses.map(expertOf));
    await new StepOfMisses({
      ...this.#options,
      step,
      rows: rows.filter(({ expert }: Rows) => missing.has(expert)),
      ahead,
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

  /** Guesses for the next layer: all experts in a prompt, which uses them anyway; while decoding, where it pays. */
  #aim(layer: number, x: Float32Array, tokens: number): void {
    const { device, guess, gate } = this.#options;
    if (!guess || layer + 1 >= device.layers || tokens === 0) return;
    if (this.#isPrompt(tokens))
      this.#prefetch.aim(
        layer + 1,
        Array.from({ length: device.shape.count }, (_, e) => e),
      );
    else if (gate?.on ?? true) this.#prefetch.aim(layer + 1, guess(layer, x));
  }

  /** Whether so many tokens use nearly all experts of a layer. */
  #isPrompt(tokens: number): boolean {
    return tokens >= 2 * this.#options.device.shape.count;
  }

  async #finish(layer: number): Promise<void> {
    const { clock } = this.#options;
    const started = clock.now();
    this.#busy = true;
    try {
      await this.#admissions.finish(layer);
    } finally {
      this.#busy = false;
    }
    this.#prepared = clock.now();
    this.counters.ms.stall += this.#prepared - started;
  }

  /** The step waits for `event`: the time is used. */
  async #whileIdle(event: Promise<void>): Promise<void> {
    this.#busy = false;
    this.#fill();
    await event;
    this.#busy = true;
  }

  /**
   * Sends what can wait, guesses first, until the step's thread is wanted: as many pieces as the link will have carried when
   * the next step of misses begins, and then one whenever the device has nothing to do.
   */
  async #fill(): Promise<void> {
    const { clock } = this.#options;
    this.#idleUntil = clock.now() + this.#gap;
    if (this.#filling) return;
    this.#filling = true;
    try {
      for (;;) {
        // What the step has to say comes first: its commands are submitted before this piece.
        await clock.turn();
        if (this.#busy || this.#closed) return;
        if (!(await this.#prefetch.send()) && !this.#admissions.send()) return;
        if (clock.now() + this.#uploads.busy.link < this.#idleUntil) continue;
        await this.#uploads.idle();
        this.#uploads.check();
      }
    } catch {
      // The device has failed: the step that follows hears of it, from uploads.check() or from its own call.
    } finally {
      this.#filling = false;
    }
  }

  /** While decoding, the gate hears how long the token took: the consumer's own time between tokens is not counted. */
  #tokenEnds(tokens: number): void {
    const { gate, clock } = this.#options;
    if (gate && !this.#isPrompt(tokens) && tokens === this.#lastTokens) gate.step(clock.now() - this.#tokenBegan);
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
