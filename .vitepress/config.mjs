// The site's settings. build.mjs copies this file beside the pages, where VitePress looks for it.

import { readFileSync } from "node:fs";
import { defineConfig } from "vitepress";

const read = (file) => JSON.parse(readFileSync(new URL(`../${file}`, import.meta.url), "utf8"));
const { pages, version } = read("site.json");
/** TypeDoc groups hotset/browser and the like below another "hotset". */
const reference = read("pages/api/typedoc-sidebar.json").flatMap((group) =>
  group.link ? [group] : group.items.map((entry) => ({ ...entry, text: `${group.text}/${entry.text}` })),
);

const group = (text, names) => ({
  text,
  items: names
    .map((name) => pages.find((page) => page.source === name))
    .map(({ title, link }) => ({ text: title, link })),
});
const rooms = pages.map(({ source }) => source).filter((source) => /^(src\/\w+|kernels)\//.test(source));
const using = ["src/cli/README.md", "src/README.md", "src/hub/README.md", "src/adapters/README.md"];
const serving = rooms.filter((source) => source.startsWith("src/server/")).reverse();
const inside = rooms.filter((source) => !using.includes(source) && !serving.includes(source));
const rest = pages.map(({ source }) => source).filter((source) => /^(bench|test|models)\//.test(source));

export default defineConfig({
  title: "hotset",
  description: "A local inference engine for Mixture-of-Experts language models, in TypeScript.",
  lang: "en",
  srcDir: "pages",
  outDir: "site",
  base: process.env.HOTSET_DOCS_BASE ?? "/",
  cleanUrls: false,
  lastUpdated: false,
  // The icon is part of the page: a site without requests to other hosts, and without files of its own.
  head: [["link", { rel: "icon", href: "data:," }]],
  vite: { build: { chunkSizeWarningLimit: 4096 } }, // in kB: the index of the search
  // A page's "<name>" is text.
  markdown: { html: false },
  themeConfig: {
    search: { provider: "local", options: { miniSearch: { searchOptions: { combineWith: "AND" } } } },
    outline: [2, 3],
    nav: [
      { text: "Library", link: "/src/" },
      { text: "Server", link: "/src/server/" },
      { text: "Reference", link: "/api/" },
      { text: version, link: "/CHANGELOG" },
    ],
    sidebar: [
      group("Using it", ["README.md", ...using]),
      group("The server", serving),
      { text: "Reference", collapsed: true, items: reference },
      group("How it works", ["ARCHITECTURE.md", ...inside]),
      group("Working on it", ["CONTRIBUTING.md", ...rest, "CHANGELOG.md"]),
    ],
  },
});
