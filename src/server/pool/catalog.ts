// The names of models that a server has, and which of them a request means.

import { HttpError } from "../errors.ts";

export interface CatalogEntry {
  /** The name in lists and answers. */
  readonly id: string;
  /** What else it is called: the path or the name that the operator typed. */
  readonly aliases: readonly string[];
}

/** Names in the message for an unknown one. */
const MOST_NAMED = 20;
/** As Ollama's clients write a model without a tag. */
const LATEST = /:latest$/i;

export class Catalog {
  readonly #entries: CatalogEntry[] = [];
  /** From every name in small letters; null: several models have it. */
  readonly #names = new Map<string, string | null>();

  constructor(entries: readonly CatalogEntry[]) {
    this.add(entries);
  }

  get ids(): readonly string[] {
    return this.#entries.map(({ id }) => id);
  }

  add(entries: readonly CatalogEntry[]): void {
    this.#entries.push(...entries);
    this.#names.clear();
    for (const { id, aliases } of this.#entries) for (const name of aliases) this.#add(name, id);
    for (const id of this.ids) this.#add(id.replace(/^.*\//, ""), id); // without its owner or folder
    for (const id of this.ids) this.#names.set(id.toLowerCase(), id);
  }

  /**
   * The id of the model that a request names. A server of one model answers under any name, and
   * without one.
   * @throws HttpError 404 for a name of none, or of several; 400 without one
   */
  find(name: string | undefined): string {
    if (this.ids.length === 1) return this.ids[0]!;
    if (name === undefined || name === "")
      throw new HttpError(400, `model: expected the name of a model, found none; there are ${this.#listed()}`);
    return this.named(name);
  }

  /**
   * The id of the model that has a name, also where there is one model.
   * @throws HttpError 404 for a name of none, or of several
   */
  named(name: string): string {
    if (this.ids.includes(name)) return name;
    const found = this.#find(name);
    if (found) return found;
    const which = found === null ? "several models are called" : "there is no model";
    const quoted = JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}...` : name);
    throw new HttpError(404, `${which} ${quoted}; there are ${this.#listed()}`, "model_not_found");
  }

  /** Whether a model has the name, or several have it. */
  knows(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  /** Null: several models have the name. */
  #find(name: string): string | null | undefined {
    const key = name.toLowerCase();
    return this.#names.get(key) ?? this.#names.get(key.replace(LATEST, ""));
  }

  #add(name: string, id: string): void {
    const key = name.toLowerCase();
    const known = this.#names.get(key);
    this.#names.set(key, known === undefined || known === id ? id : null);
  }

  #listed(): string {
    const more = this.ids.length - MOST_NAMED;
    return this.ids.slice(0, MOST_NAMED).join(", ") + (more > 0 ? ` and ${more} more (GET /v1/models)` : "");
  }
}
