// Bundles the page into dist/page/: index.html, and page/ with files named by what they hold.

import { fileURLToPath } from "node:url";
import { bundle } from "./bundling.mjs";

const here = fileURLToPath(new URL("./", import.meta.url));
const own = ["src/page/build.mjs", "src/page/index.html"];

await bundle("page", "index.html", own, ({ build, page }) => build({ ...page, root: here }));
