// The documentation: its length and width, links that lead somewhere, and a sentence
// for each dependency.

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { MODEL_TYPES } from "../src/model/families/index.ts";
import { root } from "./support/cli.ts";

const COLUMNS = 100;
const LINES: readonly (readonly [string, number])[] = [
  ["README.md", 140],
  ["ARCHITECTURE.md", 150],
];

const read = (file: string): string => readFileSync(join(root, file), "utf8");

/** Files of the repository, new ones included. */
function list(...patterns: string[]): string[] {
  return execFileSync("git", ["ls-files", "-co", "--exclude-standard", ...patterns], { cwd: root, encoding: "utf8" })
    .split("\n")
    .filter((file) => file !== "" && existsSync(join(root, file)));
}

const pages = list("*.md");

/** The lines of a page that are no code. */
function prose(page: string): string[] {
  let code = false;
  return read(page)
    .split("\n")
    .filter((line) => {
      const fence = /^\s*```/.test(line);
      if (fence) code = !code;
      return !fence && !code;
    });
}

/** The anchor that GitHub gives a heading. */
function anchorOf(heading: string): string {
  const text = heading.replace(/^#+ /, "").toLowerCase();
  return text.replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");
}

/** What is wrong with a relative link; null: nothing. */
function fault(page: string, link: string): string | null {
  const [path = "", anchor] = link.split("#");
  const target = path === "" ? page : join(dirname(page), path);
  if (!existsSync(join(root, target))) return `${page}: ${link} does not exist`;
  if (anchor === undefined) return null;
  const anchors = prose(target)
    .filter((line) => /^#+ /.test(line))
    .map(anchorOf);
  return anchors.includes(anchor) ? null : `${page}: ${link} has no such heading`;
}

describe("the documentation", () => {
  it.each(LINES)("%s has at most %i lines", (page, most) => {
    expect(read(page).trimEnd().split("\n").length).toBeLessThanOrEqual(most);
  });

  it(`has at most ${COLUMNS} columns, but for tables, code and links`, () => {
    const wide = (line: string): boolean => line.length > COLUMNS && !/^\s*\|/.test(line) && !/\]\(\S+\)/.test(line);
    const found = pages.flatMap((page) =>
      prose(page)
        .filter(wide)
        .map((line) => `${page}: ${line}`),
    );
    expect(found).toEqual([]);
  });

  it(`has comments of at most ${COLUMNS} columns in the code, but for indented examples`, () => {
    const wide = (line: string): boolean =>
      line.length > COLUMNS && /^\s*(\/\/|\*|\/\*\*) \S/.test(line) && !/https?:/.test(line);
    const sources = list("src", "kernels", "bench", "test").filter(
      (file) => /\.(ts|wgsl|mjs)$/.test(file) && !/_library\.ts$/.test(file),
    );
    const found = sources.flatMap((file) =>
      read(file)
        .split("\n")
        .filter(wide)
        .map((line) => `${file}: ${line}`),
    );
    expect(found).toEqual([]);
  });

  it("names the caller, the request or the thread, in the code too", () => {
    const vague = /\b(?:no|some)body\b|\bwhoev[e]r\b/i;
    const sources = list("src", "kernels", "bench", "test", "*.md").filter(
      // Stories and recorded texts, and what the build makes.
      (file) => /\.(ts|wgsl|mjs|md)$/.test(file) && !/^(bench\/experts\/texts\.ts|test\/fixtures\/)/.test(file),
    );
    expect(sources.length).toBeGreaterThan(500);
    expect(sources.filter((file) => vague.test(read(file)))).toEqual([]);
  });

  it("links to files and headings that exist", () => {
    const links = pages.flatMap((page) =>
      [
        ...prose(page)
          .join("\n")
          .matchAll(/\]\(([^)\s]+)\)/g),
      ].map(([, link]) => [page, link!] as const),
    );
    const relative = links.filter(([, link]) => !/^[a-z]+:/.test(link));
    expect(relative.length).toBeGreaterThan(50);
    expect(relative.map(([page, link]) => fault(page, link)).filter((found) => found !== null)).toEqual([]);
  });

  it("names files that exist", () => {
    const named = pages.flatMap((page) =>
      [
        ...prose(page)
          .join("\n")
          .matchAll(/`((?:src|kernels|test|bench|models)\/[\w./-]+\.(?:ts|wgsl|mjs|json))`/g),
      ].map(([, path]) => [page, path!] as const),
    );
    expect(named.length).toBeGreaterThan(30);
    // x: any
    const exists = (page: string, path: string): boolean =>
      [root, join(root, dirname(page))].some((folder) => existsSync(join(folder, path)));
    const missing = named.filter(([page, path]) => !/\/x\./.test(path) && !exists(page, path)); // x: any
    expect(missing.map(([page, path]) => `${page}: ${path}`)).toEqual([]);
  });

  it("names every family in README", () => {
    for (const type of MODEL_TYPES) expect(read("README.md")).toContain(`"${type}"`);
  });

  it("has a sentence for each dependency in README", () => {
    const { dependencies, optionalDependencies, devDependencies } = JSON.parse(read("package.json"));
    const rows = read("README.md")
      .split("\n")
      .filter((line) => line.startsWith("| "));
    const named = rows.flatMap((row) => row.split("|")[1]!.split(",")).map((name) => name.trim());
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies, ...devDependencies })) {
      expect(named, name).toContain(name);
    }
  });
});
