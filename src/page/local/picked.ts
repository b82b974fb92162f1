// What a person has picked on this device, as the files of one model.

import type { Place } from "../../browser.ts";
import type { PickedFile } from "./kept.ts";

/** Files of an <input>; those of a folder without its own name. */
export function pickedOf(files: readonly File[]): PickedFile[] {
  return files.map((file) => {
    const path = file.webkitRelativePath;
    return { path: path.includes("/") ? path.slice(path.indexOf("/") + 1) : file.name, file };
  });
}

type PickFolder = () => Promise<FileSystemDirectoryHandle>;

/** Most files of a picked folder: no model has as many. */
const MOST_FILES = 5000;

/** Asks for a folder. Null: the person has changed their mind. */
export async function pickFolder(): Promise<PickedFile[] | null> {
  const ask = (globalThis as { showDirectoryPicker?: PickFolder }).showDirectoryPicker!;
  let folder: FileSystemDirectoryHandle;
  try {
    folder = await ask.call(globalThis);
  } catch (error) {
    if ((error as DOMException).name === "AbortError") return null;
    throw error;
  }
  const found: PickedFile[] = [];
  const visit = async (below: FileSystemDirectoryHandle, path: string, deep: number): Promise<void> => {
    for await (const [name, entry] of below.entries()) {
      if (found.length > MOST_FILES)
        throw new Error(`${folder.name} has more files than a model: choose the model's own folder`);
      if (entry.kind === "file")
        found.push({ path: path + name, file: await (entry as FileSystemFileHandle).getFile() });
      else if (deep > 0) await visit(entry as FileSystemDirectoryHandle, `${path}${name}/`, deep - 1);
    }
  };
  await visit(folder, "", 1);
  names.set(found, folder.name);
  return found;
}

/** Names of folders that were picked by their handle. */
const names = new WeakMap<readonly PickedFile[], string>();

/** The folder's name, or that of the largest file. Safe as the name of a folder. */
export function idOf(picked: readonly PickedFile[]): string {
  const [first] = picked;
  const path = first!.file.webkitRelativePath;
  const largest = picked.reduce((most, one) => (one.file.size > most.file.size ? one : most));
  const name = names.get(picked) ?? (path.includes("/") ? path.slice(0, path.indexOf("/")) : largest.file.name);
  const safe = name.replace(/[/\\:*?"<>|]/g, "-").replace(/^\.+/, "");
  return safe === "" ? "model" : safe;
}

/** As open() takes it: in place, without a copy. */
export function placeOf(picked: readonly PickedFile[]): Place {
  return picked.map(({ path, file }) => {
    // open() knows a folder by this property, which a handle's file lacks.
    const folder = names.get(picked);
    if (folder !== undefined) Object.defineProperty(file, "webkitRelativePath", { value: `${folder}/${path}` });
    return file;
  });
}
