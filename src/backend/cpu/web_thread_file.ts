// The script of a page's thread as a file, for pages that allow only scripts of their own server.

export function fileThread(): Worker {
  return new Worker(new URL("./web_worker.js", import.meta.url), { type: "module" });
}
