// What tools for packages find wrong with this one, but for what is so on purpose: publint of
// package.json, attw of the types.

import { checkPackage, type Package } from "@arethetypeswrong/core";
import { type Options, publint } from "publint";
import { formatMessage } from "publint/utils";

/** @param pack the packed files, as publint takes them */
export async function publintFaults(options: Pick<Options, "pack" | "pkgDir">): Promise<string[]> {
  const { messages, pkg } = await publint({ ...options, strict: true });
  // Parcel 2 reads the field "browser", and no exports unless it is told to.
  const ours = messages.filter(({ code }) => code !== "USE_EXPORTS_OR_IMPORTS_BROWSER");
  return ours.map((message) => formatMessage(message, pkg) ?? message.code);
}

/** What attw finds, and entries of package.json that it does not know. */
export async function attwFaults(files: Package): Promise<string[]> {
  const analysis = await checkPackage(files);
  if (analysis.types === false) return ["attw found no types"];
  const manifest = JSON.parse(files.readFile(`/node_modules/${files.packageName}/package.json`)) as { exports: object };
  const entries = Object.keys(manifest.exports).filter((entry) => !entry.endsWith(".json"));
  const missed = entries.filter((entry) => !(entry in analysis.entrypoints)).map((entry) => `${entry} has no types`);
  // CommonJS loads it too: require() takes ES modules in every version of Node that it supports.
  // What resolves as Node 10 did knows no exports, and finds the main entry only.
  const known = entries.flatMap((entry) => [
    `CJSResolvesToESM ${entry}`,
    ...(entry === "." ? [] : [`NoResolution ${entry}`]),
  ]);
  const found = analysis.problems.map((one) => `${one.kind} ${"entrypoint" in one ? one.entrypoint : ""}`);
  const gone = known.filter((one) => !found.includes(one)).map((one) => `no longer: ${one}`);
  return [...missed, ...found.filter((one) => !known.includes(one)), ...gone];
}
