// Cross-origin isolation, which threads need: where the host sends no headers, the service worker
// that keeps the page for offline use adds them, from the second load on.

const RELOADED = "hotset.reloaded";
/** A browser that takes longer shows the page as it is. */
const PATIENCE_MS = 10_000;

/**
 * Registers the service worker, and reloads the page once where that isolates it.
 * @returns what stays missing, as a sentence; null: nothing
 */
export async function becomeIsolated(): Promise<string | null> {
  const { serviceWorker } = navigator;
  const without = (why: string): string =>
    `This page is not cross-origin isolated, so the CPU computes on one thread: ${why}`;
  if (!serviceWorker)
    return crossOriginIsolated ? null : without("open it over https or from localhost, and not in a private window.");
  const registered = serviceWorker.register("sw.js").then(() => serviceWorker.ready);
  if (crossOriginIsolated) {
    sessionStorage.removeItem(RELOADED);
    // Without one it works online only.
    registered.then(({ active }) => active?.postMessage("keep the rest")).catch(() => {});
    return null;
  }
  try {
    await Promise.race([registered, new Promise((_, reject) => setTimeout(reject, PATIENCE_MS))]);
  } catch {
    return without("its service worker could not be started.");
  }
  if (sessionStorage.getItem(RELOADED) !== null) return without("reload it, without the shift key.");
  sessionStorage.setItem(RELOADED, "");
  location.reload();
  return new Promise(() => {}); // the page is about to go
}
