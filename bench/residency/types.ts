// Messages between the processes of a residency benchmark: a task in, a report out, both JSON.

import type { Bypass } from "../../src/tensor/types.ts";

export interface DecodeTask {
  /**
   * kept: open() with a budget. uncached: no expert is kept, each is read when it is used, through
   * the page cache. compute: the same without the reads.
   */
  readonly way: "kept" | "uncached" | "compute";
  /** Of `kept`: a GGUF file too. */
  readonly folder: string;
  /** Of `kept`: bytes a second of a simulated disk, which gives zeros; null: the real one. */
  readonly rate?: number | null;
  /** Budget of `kept`, bytes. */
  readonly ram: number;
  readonly context: number;
  readonly promptTokens: number;
  /** Warm-up tokens before the measured ones. */
  readonly warmUp: number;
  readonly tokens: number;
  /** The file where `kept` writes its reads for `replay`. */
  readonly reads: string | null;
  /**
   * The file with what an earlier run of `kept` has learned, written at the end where there is none
   * yet; absent: nothing is learned.
   */
  readonly learned?: string | undefined;
}

export interface ReplayTask {
  readonly way: "replay";
  readonly folder: string;
  readonly reads: string;
  /**
   * Memory that `kept` used: the replay holds as much, so that the page cache has the same room.
   */
  readonly residentBytes: number;
  /**
   * Whether what went past the page cache is read of other places, those that were read longest
   * ago: a cache below the operating system, as of a virtual machine's host, has them least likely.
   */
  readonly elsewhere?: boolean;
}

/** Reads in the order of their start: file, offset, bytes, and whether past the page cache. */
export type Read = readonly [file: string, offset: number, bytes: number, bypass: Bypass];

export interface Reads {
  readonly before: readonly Read[];
  readonly measured: readonly Read[];
  /** The most reads in flight. */
  readonly inFlight: number;
}

/** The operating system's figures of a process, over the measured tokens. */
export interface ProcessFigures {
  readonly userMs: number;
  readonly systemMs: number;
  readonly minorFaults: number;
  readonly majorFaults: number;
  /** Bytes that came from the disk itself; the rest came from the page cache. */
  readonly diskBytes: number;
}

export interface DecodeReport {
  /** Milliseconds of each measured token. */
  readonly tokenMs: readonly number[];
  readonly budgetBytes: number;
  /**
   * Largest resident set since the process began, by getrusage and by /proc (null where
   * there is none).
   */
  readonly maxRssBytes: number;
  readonly highWaterBytes: number | null;
  readonly residentBytes: number;
  readonly slots: number;
  readonly experts: number;
  readonly recordBytes: number;
  readonly hitRate: number;
  /** Part of the bytes that were read past the page cache. */
  readonly bypassed: number;
  /** Over all measured tokens. */
  readonly bytes: { readonly demand: number; readonly prefetch: number; readonly wasted: number };
  readonly ms: { readonly stall: number; readonly disk: number; readonly expertCompute: number };
  readonly process: ProcessFigures;
}

export interface ReplayReport {
  readonly bytes: number;
  readonly ms: number;
  readonly process: ProcessFigures;
}
