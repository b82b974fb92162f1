// Paths of test data: in the repository, or in the folder of shared fixtures beside it, if present.

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../../", import.meta.url);

/** Absolute path of something in the repository. */
export function inRepo(path: string): string {
  return fileURLToPath(new URL(path, root));
}

/**
 * Absolute path of a file under ../shared, and why a test that needs it is skipped (null: it
 * exists).
 */
export function inShared(path: string): { path: string; skip: string | null } {
  const absolute = fileURLToPath(new URL(`../shared/${path}`, root));
  return { path: absolute, skip: existsSync(absolute) ? null : `skipped: ../shared/${path} is not on this machine` };
}

/** A test title, with the reason if it is skipped. */
export function titled(title: string, skip: string | null): string {
  return skip === null ? title : `${title} [${skip}]`;
}
