// Text that a constraint forces: its tokens are drafted where they are usually right, and the
// answer is the one without.

import { describe, expect, it } from "vitest";
import { ForcedShares, forcedTokens } from "../../src/engine/forced_tokens.ts";
import { Speculation } from "../../src/engine/speculation.ts";
import { StepCosts } from "../../src/engine/step_costs.ts";
import type { Constraint } from "../../src/grammar/types.ts";
import { controls, tales } from "../chat/support.ts";
import { fakeBackend, VOCAB } from "../support/fake_backend.ts";
import { collect } from "../support/pieces.ts";

class FixedCosts extends StepCosts {
  override get one(): number {
    return 1;
  }
  override relative(tokens: number): number {
    return 1 + 0.2 * (tokens - 1);
  }
}

const forcing = (forced: () => string): Constraint => ({
  mask: async () => null,
  accept() {},
  forced,
  ended: false,
  close() {},
});

describe("tokens of a forced text", () => {
  it.each([tales, controls])("spell it as in the middle of a text", (tokenizer) => {
    const encode = (text: string) => tokenizer.encode(text, { addBos: false });
    const spell = (ids: readonly number[]) => Buffer.concat(ids.map((id) => tokenizer.tokenBytes(id))).toString();
    for (const text of ['where_it_lives": ', "the hare", " the hare", "é", '"', "}, {"]) {
      const ids = forcedTokens(
        forcing(() => text),
        encode,
      );
      expect(spell(ids)).toBe(text);
      // The same tokens as behind a line of which they are the rest.
      expect(encode(`a\n${text}`).slice(-ids.length)).toEqual(ids);
    }
    const long = "the hare and the fox ".repeat(40);
    const begun = forcedTokens(
      forcing(() => long),
      encode,
    );
    expect(begun.length).toBeGreaterThan(15);
    expect(long.startsWith(spell(begun))).toBe(true);
  });

  it("are none where nothing is forced, or known", () => {
    const encode = (text: string) => tales.encode(text, { addBos: false });
    const { forced: _, ...silent } = forcing(() => "");
    for (const constraint of [undefined, silent as Constraint, forcing(() => "")])
      expect(forcedTokens(constraint, encode)).toEqual([]);
  });
});

describe("drafts of forced tokens", () => {
  it("are given up where they are wrong, and tried again where they would be right", () => {
    const forcedRight = new ForcedShares();
    const forced = (): readonly number[] => [5, 6, 7, 8];
    const speculation = new Speculation(100, new FixedCosts(), { forced, forcedRight });
    const text: number[] = [];
    const next = (id: number): readonly number[] => {
      text.push(id);
      speculation.follow(text);
      return speculation.draft(8);
    };
    expect(next(1)).toEqual([5, 6, 7]);
    let n = 0;
    while (next(20 + n).length > 0) expect(n++).toBeLessThan(20);
    // Another generation knows it.
    const other = new Speculation(100, new FixedCosts(), { forced, forcedRight });
    other.follow([1]);
    expect(other.draft(8)).toEqual([]);
    for (n = 0; next(5).length === 0; n++) expect(n).toBeLessThan(20);
  });

  it("come before a match that promises less, and not instead of one that promises more", () => {
    let forced: readonly number[] = [];
    const following = (text: readonly number[]) => {
      const speculation = new Speculation(100, new FixedCosts(), { forced: () => forced });
      for (let n = 1; n <= text.length; n++) speculation.follow(text.slice(0, n));
      return speculation;
    };
    const cycle = Array.from({ length: 40 }, (_, i) => i % 8);
    const long = following(cycle);
    const found = long.draft(15);
    expect(found.length).toBeGreaterThan(3);
    forced = [50, 51, 52];
    expect(long.draft(15)).toEqual(found);
    forced = found.slice(0, 3);
    expect(long.draft(15)).toEqual(found);
    const short = following([1, 2, 3, 4, 1, 2]);
    forced = [50, 51, 52];
    expect(short.draft(15)).toEqual([50, 51, 52]);
    expect(short.draft(1)).toEqual([50]);
    expect(short.draft(0)).toEqual([]);
  });

  it.each([0, 0.9])("leave the answer as it is, in fewer steps: temperature %s", async (temperature) => {
    /** Of three tokens the first is free, and the others follow from it. */
    const made = () => {
      const ids: number[] = [];
      const rest = (): number[] => {
        const first = ids[ids.length - (ids.length % 3)]!;
        return ids.length % 3 === 0 ? [] : [(first % 7) + 1, (first % 5) + 8].slice((ids.length % 3) - 1);
      };
      const constraint: Constraint = {
        async mask() {
          const [only] = rest();
          return Int32Array.of(only === undefined ? 0xfffe : 1 << only);
        },
        accept: (id) => void ids.push(id),
        ended: false,
        close() {},
      };
      return { constraint, rest };
    };
    const options = { maxTokens: 60, temperature, seed: 4 };
    const plain = fakeBackend({ chooses: false });
    const without = await collect(plain.session().generate([1, 2, 3], { ...options, constraint: made().constraint }));
    const { constraint, rest } = made();
    const speculate = () => new Speculation(VOCAB, new FixedCosts(), { forced: rest });
    const drafting = fakeBackend({ chooses: false, speculate });
    const withDrafts = await collect(drafting.session().generate([1, 2, 3], { ...options, constraint }));
    expect(withDrafts.ids).toEqual(without.ids);
    expect(withDrafts.finish.speculation!.accepted).toBeGreaterThanOrEqual(30);
    expect(drafting.asked.length).toBe(plain.asked.length - withDrafts.finish.speculation!.accepted);
  });
});
