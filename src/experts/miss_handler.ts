// Handles the cache misses of one layer's step: reads the records, and computes each expert on the
// host, or uploads it and computes it on the device, in the planned order.

import { onAbort } from "../abort.ts";
import type { DeviceMoe } from "../backend/experts.ts";
import { abortReason } from "../errors.ts";
import type { Admissions } from "./admissions.ts";
import type { Clock } from "./clock.ts";
import type { Costs } from "./costs.ts";
import type { Counters } from "./counters.ts";
import type { TransitUpload } from "./prefetch.ts";
import type { RamRecords } from "./ram_records.ts";
import type { Rows } from "./routes.ts";
import { plan, type Where } from "./schedule.ts";
import type { Ring, Upload, Uploads } from "./uploads.ts";

export interface MissHandlerOptions {
  readonly step: DeviceMoe;
  readonly rows: readonly Rows[];
  /** Records that prefetching has sent to transit slots. */
  readonly prefetched: ReadonlyMap<number, TransitUpload>;
  readonly places: readonly Where[];
  readonly ram: RamRecords;
  readonly costs: Costs;
  readonly clock: Clock;
  readonly uploads: Uploads;
  readonly admissions: Admissions;
  readonly ring: Ring;
  readonly counters: Counters;
  /** Waits for an event; other records may be uploaded meanwhile. */
  readonly whileIdle: (event: Promise<void>) => Promise<void>;
  /** Called when this step has no more records to read. */
  readonly allRead: () => void;
  /** @throws an error that occurred elsewhere, or that the model is closed */
  readonly check: () => void;
}

/** A missing expert. */
interface Job {
  readonly rows: Rows;
  /** The pinned slot in RAM that holds its record; null: still being read. */
  slot: number | null;
  /** When the record should be in RAM. */
  readonly expected: number;
  readonly prefetched: TransitUpload | undefined;
  /** The device computes it already: the record is needed only for its admission. */
  readonly computed: boolean;
}

interface Task {
  readonly job: Job;
  readonly where: Where;
}

export class MissHandler {
  readonly #options: MissHandlerOptions;
  readonly #stop = new AbortController();
  readonly #left = new Set<Job>();
  readonly #arrivals: Promise<void>[] = [];
  #tasks: Task[] | null = null;
  #failure: { readonly error: unknown } | null = null;
  #wake: () => void = () => {};
  /** The sum of what the host has computed [T, D]. */
  #y: Float32Array | null = null;

  constructor(options: MissHandlerOptions) {
    this.#options = options;
  }

  /**
   * @throws WeightsError, DeviceError, the signal's reason; pins are released, except of admissions
   * under way
   */
  async run(): Promise<void> {
    const { step } = this.#options;
    const stay = onAbort(step.signal, () => this.#fail(abortReason(step.signal!)));
    try {
      await this.#acquire();
      while (this.#left.size > 0) await this.#next();
      if (this.#y) step.addHost(this.#y);
    } catch (error) {
      this.#fail(error);
      await Promise.all(this.#arrivals);
      for (const job of this.#left) this.#forget(job);
      throw error;
    } finally {
      stay();
    }
  }

  /**
   * Requests all records at once; resolves when the hits in RAM are pinned. Reads complete later.
   */
  async #acquire(): Promise<void> {
    const { rows, prefetched, ram, step, uploads, admissions, clock, costs, allRead } = this.#options;
    const started = clock.now();
    const there: Promise<void>[] = [];
    const toRead: Job[] = [];
    for (const row of rows) {
      const sent = prefetched.get(row.expert);
      const computed = sent !== undefined && uploads.rest(sent) === 0;
      const job = { rows: row, slot: null, prefetched: computed ? undefined : sent, computed };
      if (computed) this.#add(row, sent, false);
      if (computed && !admissions.awaits(step.layer, row.expert)) continue;
      if (ram.has(step.layer, row.expert)) {
        there.push(this.#arrive({ ...job, expected: started }));
      } else {
        toRead.push({ ...job, expected: started + (toRead.length + 1) * costs.disk });
      }
    }
    let reading = toRead.length;
    for (const job of toRead) {
      const arrival = this.#arrive(job).then(() => {
        if (--reading > 0 || this.#failure) return;
        if (uploads.prompt) costs.read((clock.now() - started) / toRead.length);
        allRead();
      });
      this.#arrivals.push(arrival);
    }
    if (reading === 0) allRead();
    this.#arrivals.push(...there);
    await Promise.all(there);
  }

  async #arrive(job: Job): Promise<void> {
    const { ram, step } = this.#options;
    this.#left.add(job);
    try {
      job.slot = await ram.acquire(step.layer, job.rows.expert, "demand", this.#stop.signal);
      this.#tasks = null;
    } catch (error) {
      this.#fail(error);
    }
    this.#wake();
  }

  /** The first failure is the step's. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#stop.abort(error);
    this.#wake();
  }

  /** Takes the next task, or waits until there is one. */
  async #next(): Promise<void> {
    const { clock, counters, uploads, whileIdle, check } = this.#options;
    if (this.#failure) throw this.#failure.error;
    check();
    const started = clock.now();
    const task = this.#choose();
    if (task === null) {
      await whileIdle(new Promise((resolve) => (this.#wake = resolve)));
      counters.ms.disk += clock.now() - started;
    } else if (task.where === "device" && uploads.full) {
      await uploads.room();
      counters.ms.stall += clock.now() - started;
    } else {
      if (!task.job.computed) await (task.where === "host" ? this.#onHost(task.job) : this.#onDevice(task.job));
      this.#done(task.job);
      if (this.#left.size > 0) await clock.turn();
    }
  }

  /** The first task of the plan that can run now; null: no record has arrived. */
  #choose(): Task | null {
    const { clock, costs, uploads, places } = this.#options;
    if (this.#tasks === null) {
      const now = clock.now();
      const jobs = [...this.#left].filter(({ computed }) => !computed);
      const misses = jobs.map(({ rows, slot, expected, prefetched }) => ({
        tokens: rows.tokens.length,
        ready: slot === null ? Math.max(0, expected - now) : 0,
        rest: prefetched ? uploads.rest(prefetched) : 1,
      }));
      const planned = plan(misses, costs, uploads.busy, places);
      this.#tasks = planned.order.map(({ miss, where }) => ({ job: jobs[miss]!, where }));
      for (const job of this.#left) if (job.computed) this.#tasks.push({ job, where: "host" });
    }
    const ready = this.#tasks.filter(({ job }) => job.slot !== null && this.#left.has(job));
    // While the upload queue is full, the host goes on with its own experts.
    return (uploads.full && ready.find(({ where }) => where === "host")) || ready[0] || null;
  }

  async #onHost({ rows, slot, prefetched }: Job): Promise<void> {
    const { step, ram, costs, clock, uploads, counters, ring } = this.#options;
    this.#y ??= new Float32Array(step.x.length);
    const started = clock.now();
    const { expert, tokens, shares } = rows;
    ram.experts.compute(slot!, step.x, tokens, shares, this.#y, step.orderOf(expert), step.ruleOf(expert));
    const ms = uploads.worked() - started;
    costs.computed(rows.tokens.length, ms);
    counters.ms.host += ms;
    counters.experts.host++;
    if (!prefetched) return;
    counters.bytes.wasted += prefetched.sent;
    ring.free(prefetched.place.transit);
  }

  async #onDevice({ rows, slot, prefetched }: Job): Promise<void> {
    const { step, admissions, ring } = this.#options;
    const { layer } = step;
    const from = slot!;
    if (!prefetched && admissions.awaits(layer, rows.expert)) {
      const own = admissions.slotOf(layer, rows.expert);
      await this.#send({ place: { layer, slot: own }, from, cause: "demand", sent: 0 });
      admissions.arrived(layer, rows.expert);
      step.addOwn(new Map([[rows.expert, own]]));
      this.#computes(rows, true);
    } else {
      const transit = prefetched?.place.transit ?? ring.take();
      const upload: TransitUpload = { place: { transit }, from, cause: "demand", sent: prefetched?.sent ?? 0 };
      await this.#send(upload);
      this.#add(rows, upload, !prefetched);
    }
  }

  async #send(upload: Upload): Promise<void> {
    const { uploads, clock } = this.#options;
    while (!uploads.send(upload)) {
      await clock.turn();
      if (this.#failure) throw this.#failure.error;
    }
  }

  /** Computes with a complete record. @param timed whether all of it was sent just now */
  #add(rows: Rows, { place }: TransitUpload, timed: boolean): void {
    const { step, ring } = this.#options;
    step.addTransit(new Map([[rows.expert, place.transit]]));
    ring.free(place.transit);
    this.#computes(rows, timed);
  }

  #computes({ tokens }: Rows, timed: boolean): void {
    const { uploads, counters } = this.#options;
    uploads.computes(tokens.length, timed);
    counters.experts.uploaded++;
  }

  /** Unpins the record, unless it was admitted to a slot and still has to be uploaded there. */
  #done(job: Job): void {
    const { step, ram, admissions } = this.#options;
    const { expert } = job.rows;
    this.#left.delete(job);
    if (admissions.awaits(step.layer, expert)) admissions.begin(step.layer, expert, job.slot!);
    else ram.release(step.layer, expert);
  }

  #forget({ rows, slot, prefetched }: Job): void {
    const { step, ram, ring } = this.#options;
    if (slot !== null) ram.release(step.layer, rows.expert);
    if (prefetched) ring.free(prefetched.place.transit);
  }
}
