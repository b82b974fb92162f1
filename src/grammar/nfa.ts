// From a regular expression to a deterministic automaton, by way of one that is not.

import { type CharSet, LAST, pairs } from "./char_set.ts";
import { alive, type Dfa, exits, MAX_STATES, minimize, TOO_LARGE } from "./dfa.ts";
import type { Regex } from "./regex.ts";
import { Unsupported } from "./unsupported.ts";

const MAX_NFA = 20_000;

type Edge = { readonly to: number; readonly set: CharSet } | { readonly to: number; readonly when: "start" | "end" };

class Nfa {
  readonly edges: Edge[][] = [];
  readonly free: number[][] = [];

  state(): number {
    if (this.edges.length >= MAX_NFA) throw new Unsupported(TOO_LARGE);
    this.free.push([]);
    return this.edges.push([]) - 1;
  }

  /** Adds the expression, starting at `from`, and returns the state in which it ends. */
  add(regex: Regex, from: number): number {
    switch (regex.kind) {
      case "set": {
        const to = this.state();
        if (regex.set.length > 0) this.edges[from]!.push({ to, set: regex.set });
        return to;
      }
      case "start":
      case "end": {
        const to = this.state();
        this.edges[from]!.push({ to, when: regex.kind });
        return to;
      }
      case "sequence":
        return regex.parts.reduce((at, part) => this.add(part, at), from);
      case "choice": {
        const to = this.state();
        for (const part of regex.parts) {
          const enter = this.state();
          this.free[from]!.push(enter);
          this.free[this.add(part, enter)]!.push(to);
        }
        return to;
      }
      case "repeat": {
        let at = from;
        for (let i = 0; i < regex.min; i++) at = this.add(regex.part, at);
        const to = this.state();
        this.free[at]!.push(to);
        if (regex.max === Number.POSITIVE_INFINITY) {
          const loop = this.state();
          this.free[at]!.push(loop);
          const back = this.add(regex.part, loop);
          this.free[back]!.push(loop, to);
          return to;
        }
        for (let i = regex.min; i < regex.max; i++) {
          at = this.add(regex.part, at);
          this.free[at]!.push(to);
        }
        return to;
      }
      case "dfa": {
        const lives = alive(regex.dfa);
        const own = regex.dfa.accepts.map(() => this.state());
        const to = this.state();
        this.free[from]!.push(own[0]!);
        for (const [state, name] of own.entries()) {
          if (regex.dfa.accepts[state]) this.free[name]!.push(to);
          for (const [next, set] of exits(regex.dfa, state))
            if (lives[next]) this.edges[name]!.push({ to: own[next]!, set });
        }
        return to;
      }
      case "look":
        throw new Unsupported("look-around in such a place");
    }
  }

  /**
   * All states that can be reached without a character. "^" holds at the start of the text only,
   * "$" at its end only.
   */
  closure(states: Iterable<number>, atStart: boolean, atEnd: boolean): number[] {
    const seen = new Set(states);
    const stack = [...seen];
    while (stack.length > 0) {
      const state = stack.pop()!;
      const next = [...this.free[state]!];
      for (const edge of this.edges[state]!)
        if ("when" in edge && (edge.when === "start" ? atStart : atEnd)) next.push(edge.to);
      for (const to of next) {
        if (seen.has(to)) continue;
        seen.add(to);
        stack.push(to);
      }
    }
    return [...seen].sort((a, b) => a - b);
  }
}

/**
 * The texts that an expression without look-around matches as a whole.
 * @throws Unsupported if it needs too many states
 */
export function whole(regex: Regex): Dfa {
  const nfa = new Nfa();
  const first = nfa.state();
  const last = nfa.add(regex, first);
  const cuts = new Set([0]);
  for (const edges of nfa.edges) {
    for (const edge of edges) {
      if (!("set" in edge)) continue;
      for (const [lo, hi] of pairs(edge.set)) {
        cuts.add(lo);
        if (hi < LAST) cuts.add(hi + 1);
      }
    }
  }
  const starts = [...cuts].sort((a, b) => a - b);
  const classesOf = new Map<CharSet, boolean[]>();
  const inSet = (set: CharSet): boolean[] => {
    const known = classesOf.get(set);
    if (known) return known;
    const ranges = pairs(set);
    let at = 0;
    const found = starts.map((c) => {
      while (at < ranges.length && ranges[at]![1] < c) at++;
      return at < ranges.length && ranges[at]![0] <= c;
    });
    classesOf.set(set, found);
    return found;
  };
  const ids = new Map<string, number>();
  const sets: number[][] = [];
  const accepts: boolean[] = [];
  const stateOf = (closed: number[], atStart: boolean): number => {
    const key = `${atStart}${closed.join()}`;
    const known = ids.get(key);
    if (known !== undefined) return known;
    if (sets.length >= MAX_STATES) throw new Unsupported(TOO_LARGE);
    ids.set(key, sets.length);
    accepts.push(nfa.closure(closed, atStart, true).includes(last));
    return sets.push(closed) - 1;
  };
  stateOf(nfa.closure([first], true, false), true);
  const next: number[] = [];
  let work = 0;
  for (let state = 0; state < sets.length; state++) {
    const moves = sets[state]!.flatMap((s) => nfa.edges[s]!).flatMap((e) =>
      "set" in e ? [{ to: e.to, has: inSet(e.set) }] : [],
    );
    work += (moves.length + 1) * starts.length;
    if (work > 2e7) throw new Unsupported(TOO_LARGE);
    for (let c = 0; c < starts.length; c++) {
      const to = moves.flatMap((move) => (move.has[c] ? [move.to] : []));
      next.push(stateOf(nfa.closure(to, false, false), false));
    }
  }
  return minimize({ starts, next, accepts });
}
