// From what a user typed to a path: names of models are looked up in the hub's cache, and
// downloaded if the user agrees.

import { createInterface } from "node:readline/promises";
import { HubError, RequestError } from "../errors.ts";
import { isModelName, type PullOptions, type PullPlan, placeOf, pull, pulledPath } from "../index.ts";
import { formatBytes } from "./output.ts";
import { longProgress } from "./progress.ts";

export interface DownloadFlags {
  /** Download without asking. */
  readonly yes?: boolean;
  readonly quiet?: boolean;
}

/**
 * The path of a model. One that is not on this machine is downloaded with --yes, or after a
 * question on a terminal.
 * @throws WeightsError for a model that is not here, if nothing can be asked
 */
export async function modelPlace(text: string, flags: DownloadFlags, signal: AbortSignal): Promise<string> {
  if (!(await isModelName(text))) return text;
  const here = await pulledPath(text);
  if (here !== null) return here;
  const mayAsk = process.stdin.isTTY && process.stderr.isTTY;
  if (!flags.yes && !mayAsk) return placeOf(text); // says what to do
  try {
    return await download(text, flags, signal);
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    throw new HubError(`${text}: no such file or folder, and ${error.message}`, error.status, { cause: error });
  }
}

/** Pulls a model with a progress line, and asks before if `flags` say so. @returns its path */
export async function download(
  text: string,
  { yes, quiet, ...options }: DownloadFlags & PullOptions,
  signal: AbortSignal,
): Promise<string> {
  const progress = longProgress("downloading", quiet === true);
  const confirm = (plan: PullPlan): Promise<boolean> | boolean => yes === true || ask(question(plan), signal);
  const { path } = await pull(text, { ...options, confirm, onProgress: progress.update, signal }).finally(progress.end);
  return path;
}

function question({ name, repo, bytes, missing }: PullPlan): string {
  const from = name.includes(repo) ? "" : ` (${repo})`;
  const rest = missing < bytes ? `, ${formatBytes(missing)} of it still to come` : "";
  return `Download ${name}${from}: ${formatBytes(bytes)}${rest}?`;
}

/** A question on the terminal, whose default is yes. @throws the reason of the signal */
async function ask(text: string, signal: AbortSignal): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`${text} [Y/n] `, { signal });
    return /^\s*(y|yes)?\s*$/i.test(answer);
  } finally {
    terminal.close();
  }
}

/** A question without a default answer. @throws RequestError where there is no terminal */
export async function mustAsk(text: string, signal: AbortSignal): Promise<boolean> {
  if (process.stdin.isTTY && process.stderr.isTTY) return ask(text, signal);
  throw new RequestError(`${text} Without a terminal add --yes`);
}
