// Builds the page into a folder that any server can serve, from the sources.

import { fileURLToPath } from "node:url";
import { build, type Plugin } from "vite";
import { commit } from "../result.ts";

/** Test files run on the page's own adapter, and by the runner that needs no vitest. */
function standIns(root: URL): Plugin {
  const support = (name: string): string => fileURLToPath(new URL(`test/support/${name}`, root));
  return {
    name: "stand-ins",
    enforce: "pre",
    resolveId(id) {
      if (id === "vitest") return support("runner.ts");
      return id.endsWith("/support/adapters.ts") ? support("page_adapters.ts") : null;
    },
  };
}

/** @param root of the checkout @param folder that is emptied and written */
export async function buildPage(root: URL, folder: string): Promise<void> {
  const { id, dirty } = commit(root);
  const named = id === null ? null : `${id}${dirty ? " with changes" : ""}`;
  await build({
    root: fileURLToPath(new URL("bench/page/", root)),
    base: "./",
    configFile: false,
    logLevel: "error",
    publicDir: false,
    plugins: [standIns(root)],
    define: { HOTSET_COMMIT: JSON.stringify(named) },
    worker: { format: "es", plugins: () => [standIns(root)] },
    build: {
      outDir: folder,
      emptyOutDir: true,
      target: "es2022",
      modulePreload: false,
    },
  });
}
