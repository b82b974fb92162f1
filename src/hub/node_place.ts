// Where a model is on this machine: a path as it is, a name by its place in the hub's cache. Node
// only.

import { lstat } from "node:fs/promises";
import { WeightsError } from "../errors.ts";
import { parseName } from "./name.ts";
import { pulledPath } from "./node_pull.ts";
import { A_SHORT_NAME } from "./short_names.ts";

/**
 * Whether `text` can only be a name: there is no such file or folder, and it has the form of one.
 * @throws RequestError for a text that begins as a name (`hf:`) and is none
 */
export async function isModelName(text: string): Promise<boolean> {
  if ((await lstat(text).catch(() => null)) !== null) return false;
  return parseName(text) !== null;
}

/**
 * The path of a model: `text` itself, or where the model of that name was downloaded to.
 * @throws WeightsError for the name of a model that was not downloaded, and for a word that stands
 * for nothing; RequestError as isModelName()
 */
export async function placeOf(text: string): Promise<string> {
  if (!(await isModelName(text))) {
    const word = /^[\w.-]+$/.test(text) && (await lstat(text).catch(() => null)) === null;
    if (!word) return text;
    throw new WeightsError(`${text}: expected a folder, a file, owner/name or ${A_SHORT_NAME}, found nothing`);
  }
  const path = await pulledPath(text);
  if (path !== null) return path;
  throw new WeightsError(
    `${text}: expected a folder, a file or the name of a downloaded model, found nothing; \`hotset pull ${text}\` downloads a model of the hub`,
  );
}
