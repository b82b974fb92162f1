// Tokens that are expected: their masks come with one message, and are those of a matcher that
// expects nothing, whatever is accepted then.

import { afterAll, afterEach, describe, expect, it } from "vitest";
import { RequestError } from "../../src/errors.ts";
import { createGrammars } from "../../src/grammar/grammars.ts";
import { startNodeGrammarWorker } from "../../src/grammar/node_grammar_threads.ts";
import { createThreadedGrammars } from "../../src/grammar/threaded.ts";
import type { Constraint, Grammar, Grammars, Matcher } from "../../src/grammar/types.ts";
import type { GrammarWorker, ToGrammarWorker } from "../../src/grammar/worker_protocol.ts";
import { talesFromJson as tokenizer } from "../tokenizer/support.ts";
import { allowed, randomFrom, tokensOf } from "./support.ts";

const [EOS] = tokenizer.eosIds as [number];
const here = createGrammars(tokenizer, tokenizer.vocabSize, tokenizer.eosIds);
afterAll(() => here.close());

let posted: ToGrammarWorker[] = [];
let crash: () => void = () => {};
const start = (): GrammarWorker => {
  const inner = startNodeGrammarWorker();
  return {
    ...inner,
    post(message) {
      posted.push(structuredClone(message));
      inner.post(message);
    },
    onEnd(take) {
      crash = () => {
        inner.stop();
        take("it crashed", false);
      };
      inner.onEnd(take);
    },
  };
};
const apart = createThreadedGrammars(tokenizer, tokenizer.vocabSize, tokenizer.eosIds, { start });
afterAll(() => apart.close());

const matchers: Constraint[] = [];
afterEach(() => {
  for (const one of matchers.splice(0)) one.close();
  posted = [];
});
async function matcher<C extends Constraint>(grammar: Grammar<C>): Promise<C> {
  const one = await grammar.matcher();
  matchers.push(one);
  return one;
}
const accepts = (): readonly ToGrammarWorker[] => posted.filter(({ type }) => type === "accept");

const schema = {
  type: "object",
  properties: { names: { type: "array", items: { enum: ["fox", "foxes", "hare"] }, minItems: 3, maxItems: 9 } },
  required: ["names"],
};
type Of = <C extends Constraint>(of: Grammars<C>) => Promise<Grammar<C>>;
const GRAMMARS: readonly (readonly [string, Of])[] = [
  ["any JSON object", (of) => of.json()],
  ["a schema", (of) => of.jsonSchema(schema)],
  ["a pattern", (of) => of.regex("[a-zé]{3,30}(, [a-z]+)*")],
  ["a pattern of one text", (of) => of.regex("The fox went to the well, and the hare went home again\\.")],
  ["a recursive grammar", (of) => of.ebnf('root ::= one ("," one)* \none ::= "a" | "(" root ")"')],
];

/** What a random model writes, and the mask before each token, of a matcher that expects none. */
async function written(grammar: Grammar<Matcher>, random: () => number) {
  const one = await matcher(grammar);
  const ids: number[] = [];
  const masks: number[][] = [];
  const forced: string[] = [];
  while (ids.length < 60 && !one.ended) {
    const mask = allowed((await one.mask())!);
    const id = mask.includes(EOS) && random() < 0.2 ? EOS : mask[Math.floor(random() * mask.length)]!;
    one.accept(id);
    masks.push(mask);
    forced.push(one.forced());
    ids.push(id);
  }
  return { ids, masks, forced, ended: one.ended };
}

/** Tokens of the text from here on; then perhaps others, which may be refused, or an end. */
function drafted(ids: readonly number[], at: number, random: () => number): number[] {
  const right = ids.slice(at, at + Math.floor(9 * random()));
  const any = (): number => (random() < 0.2 ? EOS : Math.floor(random() * tokenizer.vocabSize));
  return random() < 0.5 ? right : [...right, any(), any()];
}

describe("expected tokens", () => {
  it.each(GRAMMARS)("change no mask of %s", async (_, of) => {
    const [near, far] = [await of(here), await of(apart)];
    for (let seed = 1; seed <= 6; seed++) {
      const random = randomFrom(seed);
      const text = await written(near, random);
      const one = await matcher(far);
      for (const [i, id] of text.ids.entries()) {
        // Also more than once, before the mask has arrived and behind it.
        while (random() < 0.4) one.expect!(drafted(text.ids, i, random));
        expect(allowed((await one.mask())!)).toEqual(text.masks[i]);
        if (random() < 0.2) one.expect!(drafted(text.ids, i, random));
        one.accept(id);
      }
      expect(one.ended).toBe(text.ended);
    }
  });

  it.each(GRAMMARS)("change nothing where no mask is waited for: %s", async (_, of) => {
    const [near, far] = [await of(here), await of(apart)];
    for (let seed = 1; seed <= 6; seed++) {
      const random = randomFrom(100 + seed);
      const { ids } = await written(near, random);
      const [blind, plain] = [await matcher(far), await matcher(near)];
      for (const [i, id] of ids.slice(0, -1).entries()) {
        if (random() < 0.4) blind.expect!(drafted(ids, i, random));
        blind.accept(id);
        plain.accept(id);
      }
      expect(allowed((await blind.mask())!)).toEqual(allowed((await plain.mask())!));
    }
  });

  it.each(GRAMMARS)("leave what must follow as it is: %s", async (name, of) => {
    const [near, far] = [await of(here), await of(apart)];
    let known = 0;
    for (let seed = 1; seed <= 6; seed++) {
      const random = randomFrom(200 + seed);
      const text = await written(near, random);
      const one = await matcher(far);
      for (const [i, id] of text.ids.entries()) {
        if (random() < 0.3) one.expect!(drafted(text.ids, i, random));
        await one.mask();
        one.accept(id);
        const forced = one.forced!();
        expect(text.forced[i]!.startsWith(forced), `${forced} at ${i}`).toBe(true);
        if (forced !== "") known++;
      }
    }
    if (/schema|one text/.test(name)) expect(known).toBeGreaterThan(10);
  });

  it("are one message to the thread, and none where they are accepted", async () => {
    const [, of] = GRAMMARS[3]!;
    const one = await matcher(await of(apart));
    const ids = tokensOf("The fox went to the well, and the hare", tokenizer);
    await one.mask();
    one.expect!(ids);
    for (const id of ids) {
      one.accept(id);
      expect(allowed((await one.mask())!).length).toBeGreaterThan(0);
    }
    expect(accepts()).toHaveLength(1);
    const [next] = tokensOf(" went", tokenizer);
    one.accept(next!);
    await one.mask();
    expect(accepts()[1]).toMatchObject({ told: { from: ids.length, ids: [next] } });
  });

  it("that the grammar refuses are refused when they are accepted, at once or with the next mask", async () => {
    const grammar = await apart.ebnf('root ::= "a" "b"');
    const [a, x] = ["a", "x"].map((piece) => tokenizer.pieceToId(piece)!) as [number, number];
    for (const waits of [true, false]) {
      const one = await matcher(grammar);
      one.expect!([a, x, a]);
      if (waits) await one.mask();
      one.accept(a);
      if (waits) await one.mask();
      if (waits) expect(() => one.accept(x)).toThrow(RequestError);
      else {
        one.accept(x);
        await expect(one.mask()).rejects.toThrow(RequestError);
      }
    }
  });

  it("are forgotten where the thread ends: the text goes on in another one", async () => {
    const [, of] = GRAMMARS[1]!;
    const text = await written(await of(here), randomFrom(5));
    const one = await matcher(await of(apart));
    for (const [i, id] of text.ids.entries()) {
      one.expect!(text.ids.slice(i, i + 6));
      if (i === 7) crash(); // the mask has not arrived
      expect(allowed((await one.mask())!)).toEqual(text.masks[i]);
      if (i === 12) {
        one.expect!(text.ids.slice(i, i + 6));
        crash(); // it has
      }
      one.accept(id);
    }
    expect(one.ended).toBe(text.ended);
  });

  it("are of no use to a text that has ended, or is closed", async () => {
    const one = await matcher(await apart.regex("a"));
    one.expect!([tokenizer.pieceToId("a")!, EOS, EOS]);
    for (const id of [tokenizer.pieceToId("a")!, EOS]) one.accept(id);
    one.expect!([EOS]);
    expect(allowed((await one.mask())!)).toEqual([EOS]);
    one.close();
    one.expect!([EOS]);
    expect(one.ended).toBe(false);
  });
});
