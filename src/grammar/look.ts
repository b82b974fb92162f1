// Look-ahead, look-behind and word boundaries as automata: a look is an "and" with the
// text around it.

import { both, type Dfa, either, not } from "./dfa.ts";
import { whole } from "./nfa.ts";
import { anything, choice, EMPTY, type Regex, repeat, sequence } from "./regex.ts";
import { Unsupported } from "./unsupported.ts";

/** Most sequences that alternatives with look-around in them expand to. */
const MAX_LISTS = 64;

/** The texts in which an expression matches somewhere, as JSON Schema's `pattern` means it. */
export function somewhere(regex: Regex): Dfa {
  return matching(sequence(anything, regex, anything));
}

/**
 * The texts that an expression matches as a whole.
 * @throws Unsupported if that needs too many states, or a look repeats
 */
export function matching(regex: Regex): Dfa {
  if (!looks(regex)) return whole(regex);
  const found = lists(regex).map(inOrder);
  return found.length === 1 ? found[0]! : either(...found);
}

function some(regex: Regex, is: (one: Regex) => boolean): boolean {
  if (is(regex)) return true;
  switch (regex.kind) {
    case "sequence":
    case "choice":
      return regex.parts.some((part) => some(part, is));
    case "repeat":
    case "look":
      return some(regex.part, is);
    default:
      return false;
  }
}

function looks(regex: Regex): boolean {
  return some(regex, ({ kind }) => kind === "look");
}

/** The expression as alternatives, each a list in which looks are items of their own. */
function lists(regex: Regex): Regex[][] {
  if (!looks(regex) || regex.kind === "look") return [[regex]];
  let out: Regex[][] = [];
  if (regex.kind === "choice") out = regex.parts.flatMap(lists);
  else if (regex.kind === "sequence") {
    out = [[]];
    for (const part of regex.parts) {
      const ways = lists(part);
      out = out.flatMap((list) => ways.map((way) => [...list, ...way]));
      if (out.length > MAX_LISTS) throw new Unsupported("a pattern with look-around in so many alternatives");
    }
  } else if (regex.kind === "repeat") {
    if (regex.max === 1) return regex.min === 1 ? lists(regex.part) : lists(choice(EMPTY, regex.part));
    return [[regex]];
  }
  return out;
}

/**
 * The automaton of one list. The first look is combined with everything before it, or with
 * everything after it.
 */
function inOrder(list: readonly Regex[]): Dfa {
  const at = list.findIndex(looks);
  if (at < 0) return whole(sequence(...list));
  const before = list.slice(0, at);
  const after = list.slice(at + 1);
  const look = list[at]!;
  if (look.kind === "repeat") return inOrder([...before, tempered(look.part, look.min, look.max, after), ...after]);
  if (look.kind !== "look") throw new Unsupported("look-around in such a place");
  const agree = (dfa: Dfa, other: Dfa): Dfa => both(dfa, look.is ? other : not(other));
  if (look.ahead) {
    const starts = [look.part, ...after].some((part) => some(part, ({ kind }) => kind === "start"));
    if (starts && !before.every(({ kind }) => kind === "start")) throw new Unsupported('"^" behind a look-ahead');
    const rest = agree(inOrder(after), matching(sequence(look.part, anything)));
    return whole(sequence(...before, { kind: "dfa", dfa: rest }));
  }
  if ([look.part, ...before].some((part) => some(part, ({ kind }) => kind === "end")))
    throw new Unsupported('"$" before a look-behind');
  const head = agree(whole(sequence(...before)), matching(sequence(anything, look.part)));
  return inOrder([{ kind: "dfa", dfa: head }, ...after]);
}

/** `((?!a).)*` up to the end of the text: characters at none of which "a" begins. */
function tempered(part: Regex, min: number, max: number, after: readonly Regex[]): Regex {
  const [look, one, ...more] = part.kind === "sequence" ? part.parts : [];
  const fits = look?.kind === "look" && look.ahead && !look.is && one?.kind === "set" && more.length === 0;
  if (!fits || some(look, ({ kind }) => kind === "start") || after[0]?.kind !== "end")
    throw new Unsupported("look-around that repeats");
  const found = matching(sequence(anything, look.part, anything));
  return { kind: "dfa", dfa: both(whole(repeat(one, min, max)), not(found)) };
}
