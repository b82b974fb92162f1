// Finds full blocks of the KV cache by their tokens and everything before them.
//
// Keys and values of a position depend on all tokens up to it, so a block's place is a path from
// the beginning of a text. Example, blocks of 4 after "abcdefgh", "abcdefgx" and "abcdxxxxyy" were
// computed (the last "yy" fills no block):
//   "abcd" block 0 ─┬─ "efgh" block 1
//                   ├─ "efgx" block 3
//                   └─ "xxxx" block 5
// Where RoPE depends on the length of a text, its key (RopeLengths) begins the path.
// A path is found by the tokens themselves, never by a hash: no session can get another
// conversation's cache.

interface Node {
  readonly block: number;
  readonly tokens: string;
  readonly before: Node | null;
  readonly after: Map<string, Node>;
}

export class PrefixIndex {
  readonly #first = new Map<string, Node>();
  readonly #nodes = new Map<number, Node>();
  /**
   * Blocks that no session holds, in the order of eviction. A session that holds a block holds all
   * before it, and releases them from the last to the first: so the blocks after one are always in
   * front of it here, and the first has none after it.
   */
  readonly #idle = new Set<Node>();
  readonly #blockSize: number;
  readonly #forgotten: (block: number) => void;

  /** @param forgotten called with each block that is no longer found */
  constructor(blockSize: number, forgotten: (block: number) => void = () => {}) {
    this.#blockSize = blockSize;
    this.#forgotten = forgotten;
  }

  /** Blocks that no session holds. */
  get idle(): number {
    return this.#idle.size;
  }

  has(block: number): boolean {
    return this.#nodes.has(block);
  }

  /** The blocks that hold the beginning of `tokens`, read with `key`, at most `most`. */
  find(tokens: readonly number[], most: number, key = 0): number[] {
    const blocks: number[] = [];
    for (let level = this.#first; blocks.length < most; ) {
      const node = level.get(this.#part(tokens, blocks.length, key));
      if (!node) break;
      blocks.push(node.block);
      level = node.after;
    }
    return blocks;
  }

  /**
   * Notes that `block` holds part `index` of `tokens`; `before` is the block of the part before it
   * (null: none). Returns the block that find() gives for this part from now on: an older one, if
   * these tokens were here already.
   */
  add(block: number, before: number | null, tokens: readonly number[], index: number, key = 0): number {
    const parent = before === null ? null : this.#nodes.get(before)!;
    const level = parent ? parent.after : this.#first;
    const part = this.#part(tokens, index, key);
    const found = level.get(part);
    if (found) return found.block;
    const node: Node = { block, tokens: part, before: parent, after: new Map() };
    level.set(part, node);
    this.#nodes.set(block, node);
    return block;
  }

  /** A session holds the block again. */
  wake(block: number): void {
    const node = this.#nodes.get(block);
    if (node) this.#idle.delete(node);
  }

  /** No session holds the block any more: it becomes the last one to be evicted. */
  rest(block: number): void {
    this.#idle.add(this.#nodes.get(block)!);
  }

  /** Forgets a block and all after it; returns those of them that no session holds. */
  forget(block: number): number[] {
    const node = this.#nodes.get(block)!;
    const freed = [...node.after.values()].flatMap((after) => this.forget(after.block));
    (node.before ? node.before.after : this.#first).delete(node.tokens);
    this.#nodes.delete(block);
    this.#forgotten(block);
    if (this.#idle.delete(node)) freed.push(block);
    return freed;
  }

  /** Forgets the idle block that was used least recently, and returns it. */
  evict(): number | null {
    for (const { block } of this.#idle) return this.forget(block)[0]!;
    return null;
  }

  /** Part `index` of the tokens; the first one with the key. */
  #part(tokens: readonly number[], index: number, key: number): string {
    const part = tokens.slice(index * this.#blockSize, (index + 1) * this.#blockSize).join();
    return index === 0 && key !== 0 ? `${key}:${part}` : part;
  }
}
