// Where a page's cache keeps what: in the origin private file system, a folder a repository, in it
// the blobs by digest and one note of branches and commits.

import type { Place } from "./writer_protocol.ts";

/** The folder of all repositories. */
export const CACHE = "hotset-hub";
/** The folder of a repository's files, by digest. */
export const BLOBS = "blobs";
/** The note of a repository: RepoNote as JSON. */
export const REPO_NOTE = "repository.json";
/** Ends the name of the note beside a file that is not whole. */
export const UNFINISHED = ".part";

export const folderName = (repo: string): string => repo.replace("/", "--");
export const repoName = (folder: string): string => folder.replace("--", "/");
export const blobPlace = (repo: string, hex: string): Place => [CACHE, folderName(repo), BLOBS, hex];
export const repoNotePlace = (repo: string): Place => [CACHE, folderName(repo), REPO_NOTE];
export const noteOf = (place: Place): Place => [...place.slice(0, -1), place.at(-1)! + UNFINISHED];
