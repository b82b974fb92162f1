// Deterministic automata over code points: what patterns, lengths and lists of texts become, so that "and" and "not" are exact.

import { ANY, type CharSet, LAST, pairs } from "./char_set.ts";
import { blocksOf } from "./minimize.ts";
import type { Regex } from "./regex.ts";
import { Unsupported } from "./unsupported.ts";

/** Complete: every state has a way on for every character. State 0 is the start. */
export interface Dfa {
  /** Where classes of characters begin, ascending from 0: all of a class lead to the same states. [C] */
  readonly starts: readonly number[];
  /** State * C + class -> state. */
  readonly next: readonly number[];
  /** One for each state. */
  readonly accepts: readonly boolean[];
}

const MAX_NFA = 20_000;
const MAX_STATES = 3000;
const TOO_LARGE = "a pattern, or a combination of patterns and lengths, that needs too many states";

type Edge = { readonly to: number; readonly set: CharSet } | { readonly to: number; readonly when: "start" | "end" };

class Nfa {
  readonly edges: Edge[][] = [];
  readonly free: number[][] = [];

  state(): number {
    if (this.edges.length >= MAX_NFA) throw new Unsupported(TOO_LARGE);
    this.free.push([]);
    return this.edges.push([]) - 1;
  }

  /** Adds the expression from `from` on and returns where it ends. */
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

  /** Everything reached without a character; "^" holds at the start of the text only, "$" at its end only. */
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

/** The texts that an expression without looks matches as a whole. @throws Unsupported if it needs too many states */
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

/** The texts for which `verdict` of each automaton's answer is true. @throws Unsupported if that needs too many states */
export function combine(dfas: readonly Dfa[], verdict: (answers: readonly boolean[]) => boolean): Dfa {
  if (dfas.length === 0) return { starts: [0], next: [0], accepts: [verdict([])] };
  const starts = [...new Set(dfas.flatMap((dfa) => dfa.starts))].sort((a, b) => a - b);
  const columns = dfas.map((dfa) => {
    let at = 0;
    return starts.map((c) => {
      while (at + 1 < dfa.starts.length && dfa.starts[at + 1]! <= c) at++;
      return at;
    });
  });
  const ids = new Map<string, number>([[dfas.map(() => 0).join(), 0]]);
  const tuples: number[][] = [dfas.map(() => 0)];
  const next: number[] = [];
  const accepts: boolean[] = [];
  for (let state = 0; state < tuples.length; state++) {
    const tuple = tuples[state]!;
    accepts.push(verdict(tuple.map((s, i) => dfas[i]!.accepts[s]!)));
    for (let c = 0; c < starts.length; c++) {
      const to = tuple.map((s, i) => dfas[i]!.next[s * dfas[i]!.starts.length + columns[i]![c]!]!);
      const key = to.join();
      let id = ids.get(key);
      if (id === undefined) {
        if (tuples.length >= MAX_STATES * 4) throw new Unsupported(TOO_LARGE);
        id = tuples.push(to) - 1;
        ids.set(key, id);
      }
      next.push(id);
    }
  }
  return minimize({ starts, next, accepts });
}

export function both(...dfas: readonly Dfa[]): Dfa {
  return combine(dfas, (answers) => answers.every(Boolean));
}

export function either(...dfas: readonly Dfa[]): Dfa {
  return combine(dfas, (answers) => answers.some(Boolean));
}

export function not(dfa: Dfa): Dfa {
  return { ...dfa, accepts: dfa.accepts.map((accepts) => !accepts) };
}

export const everything: Dfa = { starts: [0], next: [0], accepts: [true] };

export function accepts(dfa: Dfa, text: string): boolean {
  let state = 0;
  for (const c of text) {
    const point = c.codePointAt(0)!;
    let [low, high] = [0, dfa.starts.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (dfa.starts[middle]! <= point) low = middle;
      else high = middle;
    }
    state = dfa.next[state * dfa.starts.length + low]!;
  }
  return dfa.accepts[state]!;
}

/** For each state, whether an accepting one can be reached. */
export function alive(dfa: Dfa): boolean[] {
  const C = dfa.starts.length;
  const back: number[][] = dfa.accepts.map(() => []);
  for (let i = 0; i < dfa.next.length; i++) back[dfa.next[i]!]!.push(Math.floor(i / C));
  const found = [...dfa.accepts];
  const stack = found.flatMap((is, state) => (is ? [state] : []));
  while (stack.length > 0) {
    for (const state of back[stack.pop()!]!) {
      if (found[state]) continue;
      found[state] = true;
      stack.push(state);
    }
  }
  return found;
}

/** Every state can be reached, so one that accepts is enough. */
export function isEmpty(dfa: Dfa): boolean {
  return !dfa.accepts.includes(true);
}

/** The texts that it accepts, if they are so many at most; else null. */
export function few(dfa: Dfa, most: number): string[] | null {
  const lives = alive(dfa);
  const out: string[] = [];
  let work = 0;
  const visit = (state: number, text: string): boolean => {
    if (++work > most * 200 || text.length > dfa.accepts.length) return false; // too many, or a loop
    if (dfa.accepts[state]) out.push(text);
    if (out.length > most) return false;
    for (const [to, set] of exits(dfa, state)) {
      if (!lives[to]) continue;
      for (const [lo, hi] of pairs(set))
        for (let point = lo; point <= hi; point++) if (!visit(to, text + String.fromCodePoint(point))) return false;
    }
    return true;
  };
  return !lives[0] || visit(0, "") ? out : null;
}

/** Characters that lead from a state, by where they lead. */
export function exits(dfa: Dfa, state: number): Map<number, CharSet> {
  const C = dfa.starts.length;
  const out = new Map<number, number[]>();
  for (let c = 0; c < C; c++) {
    const to = dfa.next[state * C + c]!;
    const hi = c + 1 < C ? dfa.starts[c + 1]! - 1 : ANY[1]!;
    const ranges = out.get(to);
    if (!ranges) out.set(to, [dfa.starts[c]!, hi]);
    else if (ranges[ranges.length - 1] === dfa.starts[c]! - 1) ranges[ranges.length - 1] = hi;
    else ranges.push(dfa.starts[c]!, hi);
  }
  return out;
}

/** Merges states that no text tells apart, and drops classes that no state tells apart. */
function minimize(dfa: Dfa): Dfa {
  const C = dfa.starts.length;
  const N = dfa.accepts.length;
  const block = blocksOf(dfa.next, C, dfa.accepts);
  // Blocks are numbered by first state, so that the start stays 0.
  const B = block.reduce((most, own) => Math.max(most, own), 0) + 1;
  const first: number[] = [];
  for (let state = 0; state < N; state++) first[block[state]!] ??= state;
  const same = (c: number): boolean =>
    first.every((state) => block[dfa.next[state * C + c]!] === block[dfa.next[state * C + c - 1]!]);
  const kept = dfa.starts.flatMap((_, c) => (c > 0 && same(c) ? [] : [c]));
  const next: number[] = [];
  for (let b = 0; b < B; b++) for (const c of kept) next.push(block[dfa.next[first[b]! * C + c]!]!);
  return { starts: kept.map((c) => dfa.starts[c]!), next, accepts: first.map((state) => dfa.accepts[state]!) };
}
