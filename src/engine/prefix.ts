// Which block of the KV cache holds which tokens: full blocks, found by everything that comes before them.
//
// Keys and values of a position depend on all tokens up to it, so a block's place is a path from the beginning of a text.
// Example, blocks of 4 after "abcdefgh", "abcdefgx" and "abcdxxxxyy" were computed (the last "yy" fills no block):
//   "abcd" block 0 ─┬─ "efgh" block 1
//                   ├─ "efgx" block 3
//                   └─ "xxxx" block 5
// A path is found by the tokens themselves, never by a hash of them: nobody is served another conversation's cache.

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
   * Blocks that no session holds, those to give up first in front. Who holds a block holds all before it, and gives them up
   * from the last to the first: so what comes after a block is always in front of it here, and the first has nothing after it.
   */
  readonly #idle = new Set<Node>();
  readonly #blockSize: number;

  constructor(blockSize: number) {
    this.#blockSize = blockSize;
  }

  /** Blocks that no session holds. */
  get idle(): number {
    return this.#idle.size;
  }

  has(block: number): boolean {
    return this.#nodes.has(block);
  }

  /** Blocks that hold the beginning of `tokens`, as far as there are any and at most `most`. */
  find(tokens: readonly number[], most: number): number[] {
    const blocks: number[] = [];
    for (let level = this.#first; blocks.length < most; ) {
      const node = level.get(this.#key(tokens, blocks.length));
      if (!node) break;
      blocks.push(node.block);
      level = node.after;
    }
    return blocks;
  }

  /**
   * Says that `block` holds the block number `index` of `tokens`, whose one before is in `before` (null: there is none).
   * Returns the block that is found for them from now on: another one, where these tokens were here already.
   */
  add(block: number, before: number | null, tokens: readonly number[], index: number): number {
    const parent = before === null ? null : this.#nodes.get(before)!;
    const level = parent ? parent.after : this.#first;
    const key = this.#key(tokens, index);
    const found = level.get(key);
    if (found) return found.block;
    const node: Node = { block, tokens: key, before: parent, after: new Map() };
    level.set(key, node);
    this.#nodes.set(block, node);
    return block;
  }

  /** A session holds the block. */
  wake(block: number): void {
    const node = this.#nodes.get(block);
    if (node) this.#idle.delete(node);
  }

  /** No session holds the block any more: it is the last one to give up. */
  rest(block: number): void {
    this.#idle.add(this.#nodes.get(block)!);
  }

  /** Forgets a block and all after it; returns those of them that nobody held. */
  forget(block: number): number[] {
    const node = this.#nodes.get(block)!;
    const freed = [...node.after.values()].flatMap((after) => this.forget(after.block));
    (node.before ? node.before.after : this.#first).delete(node.tokens);
    this.#nodes.delete(block);
    if (this.#idle.delete(node)) freed.push(block);
    return freed;
  }

  /** Forgets the idle block that was used longest ago, and returns it. */
  evict(): number | null {
    for (const { block } of this.#idle) return this.forget(block)[0]!;
    return null;
  }

  #key(tokens: readonly number[], index: number): string {
    return tokens.slice(index * this.#blockSize, (index + 1) * this.#blockSize).join();
  }
}
