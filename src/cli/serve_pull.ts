// The downloads that `hotset serve --allow-pull` makes for clients: one after the other, into the
// hub's cache.

import { pull } from "../index.ts";
import type { PullModel } from "../server/pull_model.ts";

/**
 * @param add lets the server have a model under the name that it was pulled by
 */
export function pullOneByOne(add: (name: string, path: string) => Promise<void>): PullModel {
  let last: Promise<unknown> = Promise.resolve();
  return (name, { onProgress, signal }) => {
    const mine = last.then(async () => {
      signal.throwIfAborted();
      let digest: string | null = null;
      const { path } = await pull(name, {
        signal,
        confirm(plan) {
          digest = plan.commit;
          return true;
        },
        onProgress(completed, total) {
          if (digest !== null) onProgress({ digest, completed, total });
        },
      });
      await add(name, path);
    });
    last = mine.catch(() => {});
    return mine;
  };
}
