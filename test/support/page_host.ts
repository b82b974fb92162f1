// Runs test files in a page for a test outside, which provides the two functions and
// names the files.

import { type Case, type CaseReport, runFiles } from "./runner.ts";

declare global {
  /** Gets all cases, and resolves with the ids of those to run. */
  var chooseCases: (cases: readonly Case[]) => Promise<readonly string[]>;
  var reportCase: (report: CaseReport) => void;
}

/**
 * Resolves when every case has been reported. @throws Error naming a file that cannot be imported
 */
export function run(files: readonly string[]): Promise<void> {
  return runFiles(files, { load: (file) => import(file), choose: chooseCases, report: reportCase });
}
