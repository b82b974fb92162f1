// The rules of a context-free grammar, printed without those that derive no text.

import { type Printed, printGrammar } from "./print.ts";
import { MAX_RULES, rightRecursive } from "./right.ts";
import { type Body, rulesIn, type Term } from "./terms.ts";
import { Unsupported } from "./unsupported.ts";

export class Rules {
  readonly #bodies = new Map<string, Body>();
  readonly #inline: boolean;

  /**
   * @param inline whether to write out small rules where they are used, so that tokens may cross
   * their ends
   */
  constructor({ inline = false } = {}) {
    this.#inline = inline;
  }

  has(name: string): boolean {
    return this.#bodies.has(name);
  }

  /** A name for a rule whose body is set later. */
  fresh(prefix: string): string {
    const name = `${prefix}${this.#bodies.size}`;
    this.set(name, []);
    return name;
  }

  set(name: string, body: Body): void {
    if (this.#bodies.size >= MAX_RULES) throw new Unsupported("a schema of so many states");
    this.#bodies.set(name, body);
  }

  add(prefix: string, body: Body): Term {
    const name = this.fresh(prefix);
    this.set(name, body);
    return { rule: name };
  }

  /** The grammar that starts at `root`, or null if it derives no text. */
  print(root: string): Printed | null {
    const productive = this.#productive();
    if (!productive.has(root)) return null;
    const kept = new Map<string, Body>();
    const todo = [root];
    for (const name of todo) {
      if (kept.has(name)) continue;
      const body = this.#bodies.get(name)!.flatMap((sequence) => {
        const terms = clean(sequence, productive);
        return terms === null ? [] : [terms];
      });
      kept.set(name, body);
      todo.push(...rulesIn(body));
    }
    return printGrammar(rightRecursive(kept, this.#inline), root);
  }

  /** Names of the rules that derive some text: the least fixed point. */
  #productive(): Set<string> {
    const done = new Set<string>();
    const users = new Map<string, string[]>();
    for (const [name, body] of this.#bodies)
      for (const used of rulesIn(body)) {
        const known = users.get(used);
        if (known) known.push(name);
        else users.set(used, [name]);
      }
    let todo = [...this.#bodies.keys()];
    while (todo.length > 0) {
      const next = new Set<string>();
      for (const name of todo) {
        if (done.has(name) || !this.#bodies.get(name)!.some((sequence) => clean(sequence, done) !== null)) continue;
        done.add(name);
        for (const user of users.get(name) ?? []) next.add(user);
      }
      todo = [...next];
    }
    return done;
  }
}

/** The sequence without parts that can only be left out, or null if it derives no text. */
function clean(sequence: readonly Term[], productive: ReadonlySet<string>): Term[] | null {
  const out: Term[] = [];
  for (const term of sequence) {
    if ("rule" in term && !productive.has(term.rule)) return null;
    if ("set" in term && term.set.length === 0) return null;
    if ("of" in term) {
      const inner = clean(term.of, productive);
      if (inner === null && term.min > 0) return null;
      if (inner === null || term.max === 0) continue;
      out.push({ ...term, of: inner });
    } else if ("any" in term) {
      const any = term.any.flatMap((terms) => {
        const kept = clean(terms, productive);
        return kept === null ? [] : [kept];
      });
      if (any.length === 0) return null;
      out.push({ any });
    } else out.push(term);
  }
  return out;
}
