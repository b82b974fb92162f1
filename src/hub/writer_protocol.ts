// What a page and the worker that writes its cache tell each other.

import type { Digest } from "./listing.ts";
import type { ModelName } from "./name.ts";

/** Where a file is in the origin private file system: folders, then the file. */
export type Place = readonly string[];

/** A file to download. */
export interface WriterDownload {
  readonly place: Place;
  /** In messages. */
  readonly label: string;
  readonly size: number;
  readonly digest: Digest;
  readonly connections: number;
  readonly url: string;
  readonly name: ModelName;
  readonly endpoint: string;
  readonly token: string | null;
}

export type ToWriter = { readonly id: number } & (
  | { readonly kind: "download"; readonly job: WriterDownload }
  /** Takes the room of a file that is to be downloaded. */
  | { readonly kind: "reserve"; readonly place: Place; readonly size: number }
  /** Reads a file that is there: answered by its digest. */
  | { readonly kind: "digest"; readonly place: Place; readonly size: number; readonly of: Digest["kind"] }
  /** Replaces a note (web_files.ts). */
  | { readonly kind: "note"; readonly place: Place; readonly text: string }
  | { readonly kind: "remove"; readonly place: Place }
  /** Ends the job of this number. */
  | { readonly kind: "abort" }
);

export interface WriterFailure {
  readonly message: string;
  /** As in HubError. */
  readonly status: number;
  readonly retryAfter: number | null;
}

/** The first message is null: the script runs. */
export type FromWriter =
  | null
  | ({ readonly id: number } & (
      | { readonly kind: "bytes"; readonly count: number }
      | { readonly kind: "done"; readonly digest: string | null }
      | { readonly kind: "failed"; readonly failure: WriterFailure }
    ));
