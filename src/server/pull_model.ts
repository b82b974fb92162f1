// What downloads models for clients, as the server is given it.

export interface PullProgress {
  /** What is downloaded: a commit. */
  readonly digest: string;
  /** Bytes that are here, of all that the model needs. */
  readonly completed: number;
  readonly total: number;
}

/**
 * Downloads what is missing of a model, and lets the server have it.
 * @throws HotsetError for a name of no model, and for what the hub or the disk refuses
 */
export type PullModel = (
  name: string,
  options: { readonly onProgress: (progress: PullProgress) => void; readonly signal: AbortSignal },
) => Promise<void>;
