// Sets of property names: those listed, those that match patterns, and all others.

import { accepts, type Dfa, either, everything, not } from "./dfa.ts";
import { whole } from "./nfa.ts";
import { choice, literal } from "./regex.ts";

/** A name, the names that an automaton accepts, or a set of names. Equal sets have equal keys. */
export type Atom = { readonly key: string } & (
  | { readonly name: string }
  | { readonly dfa: Dfa }
  | { readonly names: Names }
);

/** The names in at least one of the atoms, or (negated) in none. */
export interface Names {
  readonly atoms: readonly Atom[];
  readonly negated: boolean;
}

function nameAtom(name: string): Atom {
  return { name, key: `=${name}` };
}

export function named(name: string): Names {
  return { atoms: [nameAtom(name)], negated: false };
}

/** All names but these. */
export function others(names: readonly string[], atoms: readonly Atom[]): Names {
  return { atoms: [...names.map(nameAtom), ...atoms], negated: true };
}

export function contains(names: Names, name: string): boolean {
  const found = names.atoms.some((atom) => {
    if ("name" in atom) return atom.name === name;
    return "dfa" in atom ? accepts(atom.dfa, name) : contains(atom.names, name);
  });
  return found !== names.negated;
}

/** The names that are listed one by one. */
export function listed(names: Names): string[] {
  return names.atoms.flatMap((atom) => ("name" in atom ? [atom.name] : "names" in atom ? listed(atom.names) : []));
}

/** The set as an automaton. @throws Unsupported if it needs too many states */
export function namesDfa({ atoms, negated }: Names): Dfa {
  const exact = atoms.flatMap((atom) => ("name" in atom ? [literal(atom.name)] : []));
  const dfas = atoms.flatMap((atom) => ("dfa" in atom ? [atom.dfa] : "names" in atom ? [namesDfa(atom.names)] : []));
  const all = either(...(exact.length > 0 ? [whole(choice(...exact))] : []), ...dfas);
  if (atoms.length === 0) return negated ? everything : not(everything);
  return negated ? not(all) : all;
}
