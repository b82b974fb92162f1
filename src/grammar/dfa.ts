// Deterministic automata over code points, which patterns, lengths and lists of texts become: "and"
// and "not" are exact.

import { ANY, type CharSet, pairs } from "./char_set.ts";
import { blocksOf } from "./minimize.ts";
import { Unsupported } from "./unsupported.ts";

/** A complete automaton: every state has a transition for every character. State 0 is the start. */
export interface Dfa {
  /**
   * First code point of each class of characters, ascending from 0. All characters of a class lead
   * to the same states. [C]
   */
  readonly starts: readonly number[];
  /** The next state, by state * C + class. */
  readonly next: readonly number[];
  /** Whether a text may end in this state, by state. */
  readonly accepts: readonly boolean[];
}

/** Most states of the automaton of one expression. */
export const MAX_STATES = 3000;
export const TOO_LARGE = "a pattern, or a combination of patterns and lengths, that needs too many states";

/**
 * The texts for which `verdict` is true, given whether each automaton accepts them.
 * @throws Unsupported if that needs too many states
 */
function combine(dfas: readonly Dfa[], verdict: (answers: readonly boolean[]) => boolean): Dfa {
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

/** By state: whether an accepting state can be reached from it. */
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

/**
 * Whether it accepts no text. All states of a minimal automaton can be reached, so one that accepts
 * is enough.
 */
export function isEmpty(dfa: Dfa): boolean {
  return !dfa.accepts.includes(true);
}

/** All texts that it accepts, or null if there are more than `most`. */
export function few(dfa: Dfa, most: number): string[] | null {
  const lives = alive(dfa);
  const out: string[] = [];
  let work = 0;
  const visit = (state: number, text: string): boolean => {
    // too many, or a loop
    if (++work > most * 200 || text.length > dfa.accepts.length) return false;
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

/** The transitions of a state: the characters that lead to each next state. */
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

/** Merges states that no text can distinguish, and classes that no state distinguishes. */
export function minimize(dfa: Dfa): Dfa {
  const C = dfa.starts.length;
  const N = dfa.accepts.length;
  const block = blocksOf(dfa.next, C, dfa.accepts);
  // Blocks are numbered by their first state, so the start stays 0.
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
