// Bundles the page that computes itself into dist/app/: index.html, its files, and sw.js. `hotset
// page` writes them to a folder, with the engine beside them.

import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { bundle } from "../bundling.mjs";

const here = fileURLToPath(new URL("./", import.meta.url));
const own = ["src/page/local/build.mjs", "src/page/local/index.html"];

// The engine is a file of its own, engine.js, which changes with everything.
const text = {
  name: "no-engine-text",
  enforce: "pre",
  resolveId: (id) => (id.endsWith("/web_engine_text.ts") ? "\0no-engine-text" : null),
  load: (id) => (id === "\0no-engine-text" ? 'export const ENGINE = "";' : null),
};

await bundle("app", "sw.js", own, async ({ build, page, options, target }) => {
  await build({ ...page, root: here, plugins: [...page.plugins, text] });
  const [{ output }] = await build({
    ...options,
    root: here,
    plugins: [...options.plugins, text],
    build: {
      write: false,
      target: "es2022",
      lib: { entry: "service_worker.ts", formats: ["iife"], name: "hotset" },
    },
  });
  writeFileSync(`${target}/sw.js`, output[0].code);
});
