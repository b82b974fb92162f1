// The files of the page that computes itself, as `hotset page` writes them.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { HotsetError, RequestError } from "../errors.ts";
import { iconPng, iconSvg } from "./page_icons.ts";

/** Where models come from by name: the hub, and its storage. */
export const HUB_HOSTS: readonly string[] = ["https://huggingface.co", "https://*.huggingface.co", "https://*.hf.co"];

/** Beside the compiled command, and where tests run the sources. */
const PLACES = ["../../", "../../dist/"].map((place) => new URL(place, import.meta.url));
/** Lists the files of a page in its folder, so that another page can replace them. */
const LIST = "hotset-page.json";
const PLACEHOLDER = /<meta name="hotset-app"\s*\/?>/;

const MANIFEST = {
  name: "hotset",
  short_name: "hotset",
  description: "Language models in this browser",
  start_url: "./",
  scope: "./",
  display: "standalone",
  background_color: "#171614",
  theme_color: "#c2410c",
  icons: [
    { src: "icon.svg", sizes: "any", type: "image/svg+xml" },
    ...[192, 512].map((size) => ({ src: `icon-${size}.png`, sizes: `${size}x${size}`, type: "image/png" })),
  ],
};

/**
 * Writes the page into a folder.
 * @param hub the origins of a mirror and of its storage; null: Hugging Face's hub
 * @throws RequestError for a folder that holds something else
 */
export async function writePage(out: string, hub: readonly string[] | null): Promise<{ files: number; bytes: number }> {
  const built = PLACES.find((place) => existsSync(new URL("app/sw.js", place)));
  if (built === undefined) throw new HotsetError("this installation holds no page; install the package again");
  const files = await pageFiles(built, hub);
  await emptied(out);
  let bytes = 0;
  for (const [path, contents] of files) {
    await mkdir(dirname(join(out, path)), { recursive: true });
    await writeFile(join(out, path), contents);
    bytes += contents.length;
  }
  return { files: files.size, bytes };
}

async function pageFiles(built: URL, hub: readonly string[] | null): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  const app = new URL("app/", built);
  for (const entry of await readdir(app, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    files.set(path.slice(fileURLToPath(app).length).replaceAll("\\", "/"), await readFile(path));
  }
  const text = (path: string): string => new TextDecoder().decode(files.get(path));
  const put = (path: string, contents: string): void => void files.set(path, new TextEncoder().encode(contents));
  files.set("engine.js", await readFile(new URL("worker/engine.js", built)));
  put("icon.svg", iconSvg());
  for (const size of [192, 512]) files.set(`icon-${size}.png`, iconPng(size));
  put("app.webmanifest", JSON.stringify(MANIFEST));
  put("index.html", text("index.html").replace(PLACEHOLDER, head(hub)));
  const worker = text("sw.js");
  files.delete("sw.js"); // a browser looks for a newer one by itself
  const digest = createHash("sha256").update(worker);
  for (const [path, contents] of files) digest.update(`${path} ${contents.length}\n`).update(contents);
  const build = { files: [...files.keys()], digest: digest.digest("hex") };
  put("sw.js", `self.hotsetBuild = ${JSON.stringify(build)};\n${worker}`);
  put(LIST, JSON.stringify([...files.keys(), LIST]));
  return files;
}

/** The page runs what lies beside it, and talks to its own host and to the hub. */
function head(hub: readonly string[] | null): string {
  const policy = [
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "style-src 'self'",
    `connect-src 'self' ${(hub ?? HUB_HOSTS).join(" ")}`,
    "img-src 'self' data:",
    "font-src 'self'",
    "manifest-src 'self'",
    "worker-src 'self' blob:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  return [
    `<meta http-equiv="Content-Security-Policy" content="${policy}" />`,
    ...(hub === null ? [] : [`<meta name="hotset-hub" content="${hub[0]}" />`]),
    '<meta name="referrer" content="no-referrer" />',
    '<meta name="theme-color" content="#c2410c" />',
    '<link rel="icon" href="icon.svg" type="image/svg+xml" />',
    '<link rel="apple-touch-icon" href="icon-192.png" />',
    '<link rel="manifest" href="app.webmanifest" />',
  ].join("\n    ");
}

/** Removes an earlier page. @throws RequestError where the folder holds something else */
async function emptied(out: string): Promise<void> {
  const names = await readdir(out).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === "ENOENT") return [];
    throw new RequestError(`${out}: expected a folder: ${error.message}`);
  });
  if (names.length === 0) return;
  if (!names.includes(LIST))
    throw new RequestError(`${out} is not empty, and holds no earlier page: choose another folder, or empty it`);
  const listed: unknown = JSON.parse(await readFile(join(out, LIST), "utf8"));
  const earlier = Array.isArray(listed) ? listed.filter((path): path is string => typeof path === "string") : [];
  for (const path of earlier) if (!path.split("/").includes("..")) await rm(join(out, path), { force: true });
}
