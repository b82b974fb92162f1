// What a repository holds at a revision, as the hub's API tells it.

import type * as Library from "@huggingface/hub";
import { HubError } from "../errors.ts";
import type { Hub } from "./hub.ts";
import * as library from "./hub_library.ts";
import type { ListedFile } from "./listing.ts";
import type { ModelName } from "./name.ts";

const { listFiles, modelInfo } = library as unknown as typeof Library;

/** More than the pages of any repository. */
const MOST_REQUESTS = 200;

/** A repository at one commit. */
export interface RemoteModel {
  readonly commit: string;
  readonly files: readonly ListedFile[];
}

/**
 * The commit of the name's revision and all its files.
 * @throws HubError for a name, revision or token that the hub rejects, or no network
 */
export async function lookUp(hub: Hub, name: ModelName, signal: AbortSignal): Promise<RemoteModel> {
  let requests = 0;
  const asked: typeof fetch = (input, init) => {
    if (++requests > MOST_REQUESTS)
      throw new HubError(`${hub.endpoint} does not end its list of the files of ${name.repo}`, 200);
    return hub.ask(String(input), name, { ...(init?.headers && { headers: init.headers }), signal });
  };
  const { repo, revision = "main" } = name;
  // The library's own check of tokens would reject those of mirrors: request() adds ours.
  const common = { hubUrl: hub.endpoint, fetch: asked };
  try {
    const { sha } = await modelInfo({ ...common, name: repo, revision, additionalFields: ["sha"] });
    if (!/^[0-9a-f]{40}$/.test(sha)) throw new Error(`expected a commit, found ${JSON.stringify(sha)}`);
    const files: ListedFile[] = [];
    for await (const entry of listFiles({ ...common, repo, revision: sha, recursive: true })) {
      if (entry.type !== "file") continue;
      const { path, size, lfs, oid } = entry;
      if (
        typeof path !== "string" ||
        ![size, lfs?.size ?? 0].every((bytes) => Number.isSafeInteger(bytes) && bytes >= 0)
      )
        throw new Error(`expected a file's path and size, found ${JSON.stringify({ path, size })}`);
      // No file of a model; and what a hub sends is printed.
      if (/\p{Cc}/u.test(path)) continue;
      if (lfs) files.push({ path, size: lfs.size, digest: { kind: "sha256", hex: lfs.oid } });
      else files.push({ path, size, ...(oid && { digest: { kind: "git", hex: oid } }) });
    }
    return { commit: sha, files };
  } catch (error) {
    if (error instanceof HubError || signal.aborted) throw error;
    throw new HubError(`${hub.endpoint} does not answer as the hub does: ${(error as Error).message}`, 200, {
      cause: error,
    });
  }
}
