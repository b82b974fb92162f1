// The constraint of a text in which control tokens stand between values: a grammar cannot name
// them, because they have no text. Each value has a grammar of its own, all else is tokens.

import type { Written } from "../chat/conventions.ts";
import type { Constraint, Grammar } from "../grammar/types.ts";
import type { Tokenizer } from "../tokenizer/types.ts";

/** What is written, with a whole text in a grammar as a further kind of piece. */
export type Marked = Written | { readonly grammar: Grammar } | { readonly any: readonly (readonly Marked[])[] };

export interface MarkedParts {
  readonly tokenizer: Tokenizer;
  /** V */
  readonly vocab: number;
  /** The grammar of the empty text: it allows what ends a text, and nothing else. */
  readonly empty: Grammar;
  /** Compiles the grammar of a value or a bare text. */
  compile(piece: Written): Promise<Grammar>;
}

/** Whether a literal text in `written` has a control token in it. */
export function hasControls(written: readonly Written[], tokenizer: Tokenizer): boolean {
  return written.some((piece) => {
    if ("text" in piece) return tokensOf(piece.text, tokenizer).some((id) => tokenizer.isSpecial(id));
    if ("any" in piece) return piece.any.some((one) => hasControls(one, tokenizer));
    return "of" in piece && hasControls(piece.of, tokenizer);
  });
}

/** The constraint of `written`, up to the end of the answer. @throws RequestError */
export async function markedConstraint(parts: MarkedParts, written: readonly Marked[]): Promise<Constraint> {
  const graph = new Graph(parts);
  const end = graph.add({ kind: "end" });
  const start = await graph.sequence(written, end);
  return new MarkedConstraint(graph.nodes, start, await stopsOf(parts.empty), parts.vocab);
}

/** The tokens that end a text, as a mask, from the grammar of the empty text. */
export async function stopsOf(empty: Grammar): Promise<Int32Array> {
  const matcher = await empty.matcher();
  const stops = (await matcher.mask())!.slice();
  matcher.close();
  return stops;
}

function tokensOf(text: string, tokenizer: Tokenizer): number[] {
  return tokenizer.encode(text, { addBos: false, specialTokens: true });
}

/** A place in what is written, by what may come there; `next` are numbers of nodes. */
type Node =
  | { readonly kind: "token"; readonly id: number; readonly next: number }
  | { readonly kind: "text"; readonly grammar: Grammar; readonly next: number }
  | { readonly kind: "fork"; readonly to: readonly number[] }
  | { readonly kind: "end" };

class Graph {
  readonly nodes: Node[] = [];
  readonly #parts: MarkedParts;

  constructor(parts: MarkedParts) {
    this.#parts = parts;
  }

  add(node: Node): number {
    return this.nodes.push(node) - 1;
  }

  /** The node where pieces begin that lead to `next`. */
  async sequence(pieces: readonly Marked[], next: number): Promise<number> {
    let at = next;
    for (const piece of pieces.toReversed()) at = await this.#piece(piece, at);
    return at;
  }

  async #piece(piece: Marked, next: number): Promise<number> {
    if ("text" in piece) {
      const ids = tokensOf(piece.text, this.#parts.tokenizer);
      return ids.reduceRight((after, id) => this.add({ kind: "token", id, next: after }), next);
    }
    if ("grammar" in piece) return this.add({ kind: "text", grammar: piece.grammar, next });
    if ("any" in piece) {
      const to = await Promise.all(piece.any.map((one) => this.sequence(one, next)));
      return this.add({ kind: "fork", to });
    }
    if ("of" in piece) return this.#repeated(piece, next);
    return this.add({ kind: "text", grammar: await this.#parts.compile(piece), next });
  }

  async #repeated({ of, min, max }: Extract<Marked, { of: unknown }>, next: number): Promise<number> {
    let at = next;
    if (max === null) {
      at = this.add({ kind: "end" }); // reserved: the loop leads back to it
      this.nodes[at] = { kind: "fork", to: [await this.sequence(of, at), next] };
    }
    for (let i = max ?? min; i > 0; i--) {
      const one = await this.sequence(of, at);
      at = i > min ? this.add({ kind: "fork", to: [one, next] }) : one;
    }
    return at;
  }
}

/** A place where the text may be now. */
interface Place {
  readonly node: Exclude<Node, { kind: "fork" }>;
  /** In a text: its matcher, and what that allows. */
  matcher?: Constraint;
  mask?: Int32Array | null;
}

class MarkedConstraint implements Constraint {
  readonly #nodes: readonly Node[];
  readonly #stops: Int32Array;
  readonly #vocab: number;
  #places: Place[];
  /** Whether the places' masks are those of now. */
  #fresh = false;
  /** Tokens that were accepted since. */
  #accepted: number[] = [];
  #ended = false;

  constructor(nodes: readonly Node[], start: number, stops: Int32Array, vocab: number) {
    this.#nodes = nodes;
    this.#stops = stops;
    this.#vocab = vocab;
    this.#places = this.#from(start);
  }

  get ended(): boolean {
    return this.#ended;
  }

  async mask(): Promise<Int32Array | null> {
    for (const id of this.#accepted.splice(0)) {
      await this.#look();
      this.#step(id);
    }
    await this.#look();
    const mask = new Int32Array(Math.ceil(this.#vocab / 32));
    for (const { node, mask: own } of this.#places) {
      if (node.kind === "token") mask[node.id >> 5]! |= 1 << (node.id & 31);
      else {
        const last = node.kind === "end";
        const from = last ? this.#stops : own!;
        for (let i = 0; i < from.length; i++) mask[i]! |= last ? from[i]! : from[i]! & ~(this.#stops[i] ?? 0);
      }
    }
    return mask;
  }

  accept(id: number): void {
    if (this.#fresh) this.#step(id);
    else this.#accepted.push(id);
  }

  expect(ids: readonly number[]): void {
    if (this.#accepted.length === 0) for (const { matcher } of this.#places) matcher?.expect?.(ids);
  }

  forced(): string {
    const [place, ...others] = this.#accepted.length === 0 ? this.#places : [];
    return (others.length === 0 && place?.matcher?.forced?.()) || "";
  }

  close(): void {
    for (const { matcher } of this.#places) matcher?.close();
  }

  /** What each place allows; behind texts that may end here, the places after them. */
  async #look(): Promise<void> {
    for (let i = 0; i < this.#places.length; i++) {
      const place = this.#places[i]!;
      if (place.node.kind !== "text") continue;
      place.matcher ??= await place.node.grammar.matcher();
      place.mask = await place.matcher.mask();
      if (this.#stops.some((word, at) => (word & (place.mask![at] ?? 0)) !== 0))
        this.#places.push(...this.#from(place.node.next));
    }
    this.#fresh = true;
  }

  #step(id: number): void {
    const next: Place[] = [];
    for (const { node, matcher, mask } of this.#places) {
      if (node.kind === "token" && node.id === id) next.push(...this.#from(node.next));
      if (node.kind === "end" && has(this.#stops, id)) this.#ended = true;
      if (!matcher) continue;
      if (has(mask!, id) && !has(this.#stops, id)) {
        matcher.accept(id);
        next.push({ node, matcher });
      } else matcher.close();
    }
    this.#places = next;
    this.#fresh = false;
  }

  /** The places that a node stands for. */
  #from(at: number): Place[] {
    const node = this.#nodes[at]!;
    return node.kind === "fork" ? node.to.flatMap((one) => this.#from(one)) : [{ node }];
  }
}

function has(mask: Int32Array, id: number): boolean {
  return ((mask[id >> 5] ?? 0) & (1 << (id & 31))) !== 0;
}
