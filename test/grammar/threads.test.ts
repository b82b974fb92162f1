// Grammars in threads: the same masks as here, a deadline and a limit of memory for each
// compilation, and generations that go on when the thread that they are matched in ends.

import { spawnSync } from "node:child_process";
import { afterEach, describe, expect, it, vi } from "vitest";
import { HotsetError, RequestError } from "../../src/errors.ts";
import { createGrammars } from "../../src/grammar/grammars.ts";
import { startNodeGrammarWorker } from "../../src/grammar/node_grammar_threads.ts";
import type { ThreadedOptions } from "../../src/grammar/thread_pool.ts";
import { createThreadedGrammars } from "../../src/grammar/threaded.ts";
import type { Grammars } from "../../src/grammar/types.ts";
import type { GrammarWorker, ToGrammarWorker } from "../../src/grammar/worker_protocol.ts";
import { inRepo } from "../support/fixtures.ts";
import { EVERYTHING } from "../support/level.ts";
import { PATIENT } from "../support/patience.ts";
import { talesFromJson } from "../tokenizer/support.ts";
import { accepts, allowed, randomFrom, randomText } from "./support.ts";

const tokenizer = talesFromJson;
/** Takes tens of seconds before it has its verdict. */
const SLOW = { type: "string", pattern: "^([^0-9]?[^a-f]?[^x]?[^q]?){990}$" };
/** Takes seconds to compile, and tens of megabytes. */
const LARGE = { type: "string", pattern: "^[^0-9]{0,900}$" };
const QUICK = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };

const open: Grammars[] = [];
afterEach(() => {
  for (const one of open.splice(0)) one.close();
});

interface Watched {
  readonly worker: GrammarWorker;
  readonly posted: ToGrammarWorker[];
  /** Ends it as if it had crashed. */
  crash(): void;
}

/** Grammars whose threads are seen, and can be made to end. */
function threaded(options: Partial<ThreadedOptions> = {}): { grammars: Grammars; threads: Watched[] } {
  const threads: Watched[] = [];
  const start = (): GrammarWorker => {
    const inner = startNodeGrammarWorker();
    const posted: ToGrammarWorker[] = [];
    let ended: (why: string, full: boolean) => void = () => {};
    const worker: GrammarWorker = {
      ...inner,
      post(message) {
        posted.push(message);
        inner.post(message);
      },
      onEnd(take) {
        ended = take;
        inner.onEnd(take);
      },
    };
    threads.push({
      worker,
      posted,
      crash() {
        inner.stop();
        ended("it crashed", false);
      },
    });
    return worker;
  };
  const grammars = createThreadedGrammars(tokenizer, tokenizer.vocabSize, tokenizer.eosIds, { start, ...options });
  open.push(grammars);
  return { grammars, threads };
}

const compiling = ({ posted }: Watched): boolean => posted.at(-1)?.type === "compile";

describe("grammars in threads", () => {
  it("write the same texts as grammars here", async () => {
    const { grammars, threads } = threaded();
    const here = createGrammars(tokenizer, tokenizer.vocabSize, tokenizer.eosIds);
    open.push(here);
    const kinds = [
      (one: Grammars) => one.json(),
      (one: Grammars) => one.jsonSchema(QUICK),
      (one: Grammars) => one.jsonSchema({ type: "array", items: { type: "string", maxLength: 40 }, minItems: 2 }),
      (one: Grammars) => one.regex("[a-zé]{3,9}(, [a-z]+)*"),
      (one: Grammars) => one.ebnf('root ::= ("a" | [^b]){2,} "b"'),
    ];
    for (const [i, kind] of kinds.entries()) {
      const [apart, near] = [await kind(grammars), await kind(here)];
      for (let seed = 0; seed < (EVERYTHING ? 4 : 1); seed++) {
        const text = await randomText(near, tokenizer, randomFrom(10 * i + seed));
        expect(await randomText(apart, tokenizer, randomFrom(10 * i + seed))).toBe(text);
      }
    }
    expect(threads).toHaveLength(1);
  });

  it("refuse what grammars here refuse, in the same words", async () => {
    const { grammars } = threaded();
    const cyclic: Record<string, unknown> = {};
    cyclic.not = cyclic;
    let deep: unknown = true;
    for (let i = 0; i < 20_000; i++) deep = { not: deep };
    await expect(grammars.jsonSchema({ pattern: "(" })).rejects.toThrow(/keyword `pattern` at # .*not a regular expr/);
    await expect(grammars.jsonSchema({ pattern: "(" })).rejects.toThrow(RequestError);
    await expect(grammars.jsonSchema(7)).rejects.toThrow(/expected an object, found 7/);
    await expect(grammars.jsonSchema(cyclic)).rejects.toThrow(RequestError);
    await expect(grammars.jsonSchema(deep)).rejects.toThrow(/nested/);
    await expect(grammars.regex("(a)\\1")).rejects.toThrow(/back references/);
    await expect(grammars.ebnf("root ::= (")).rejects.toThrow(/line 1/);
    await expect(grammars.ebnf(undefined as unknown as string)).rejects.toThrow(/expected a text, found undefined/);
    expect(await accepts(await grammars.regex("[0-9]+"), "42", tokenizer)).toBe(true);
  });

  it("know at once that the mask does not have a token, and with the next mask where no mask was asked for", async () => {
    const { grammars } = threaded();
    const grammar = await grammars.ebnf('root ::= "a" "b"');
    const [a, b, x] = ["a", "b", "x"].map((piece) => tokenizer.pieceToId(piece)!);
    const matcher = await grammar.matcher();
    expect(allowed((await matcher.mask())!)).toContain(a);
    expect(() => matcher.accept(x!)).toThrow(RequestError);
    matcher.accept(a!);
    matcher.accept(b!);
    expect(allowed((await matcher.mask())!)).toEqual([...tokenizer.eosIds]);
    expect(matcher.ended).toBe(false);
    matcher.accept(tokenizer.eosIds[0]!);
    expect(matcher.ended).toBe(true);
    expect(allowed((await matcher.mask())!)).toEqual([...tokenizer.eosIds]);
    matcher.close();
    matcher.close();
    await expect(matcher.mask()).rejects.toThrow(/constraint is closed/);
    const blind = await grammar.matcher();
    for (const id of [a, x]) blind.accept(id!);
    await expect(blind.mask()).rejects.toThrow(RequestError);
    blind.close();
  });
});

describe("a compilation", () => {
  it("that takes longer than the deadline is refused by name, and at once the next time", async () => {
    const { grammars, threads } = threaded({ deadlineMs: 500 });
    await expect(grammars.jsonSchema(SLOW)).rejects.toThrow(/^json_schema: .*the deadline of 0\.5 s/);
    await expect(grammars.jsonSchema(SLOW)).rejects.toThrow(RequestError);
    expect(threads.flatMap(({ posted }) => posted).filter(({ type }) => type === "compile")).toHaveLength(1);
  });

  it("that needs more memory than it may have is refused by name", async () => {
    const { grammars } = threaded({ deadlineMs: 600_000, memory: 18 * 2 ** 20 });
    await expect(grammars.jsonSchema(LARGE)).rejects.toThrow(/^json_schema: .*the limit of 18 MiB/);
    await expect(grammars.jsonSchema(LARGE)).rejects.toThrow(RequestError);
    expect(await randomText(await grammars.json(), tokenizer, randomFrom(1))).toMatch(/^\{/);
  });

  it("whose thread crashes is an error of that request only", async () => {
    const { grammars, threads } = threaded();
    const lost = grammars.jsonSchema(SLOW);
    lost.catch(() => {});
    await vi.waitFor(() => expect(threads.some(compiling)).toBe(true), PATIENT);
    const other = grammars.jsonSchema(QUICK);
    threads.find(compiling)!.crash();
    await expect(lost).rejects.toThrow(/thread for grammars ended: it crashed/);
    await expect(lost).rejects.toThrow(HotsetError);
    await expect(lost).rejects.not.toThrow(RequestError);
    expect(await accepts(await other, '{"name":"a"}', tokenizer)).toBe(true);
  });

  it("is done once for equal texts, and again when too many others came between", async () => {
    const { grammars, threads } = threaded();
    const count = (): number => threads.flatMap(({ posted }) => posted).filter(({ type }) => type === "compile").length;
    const first = await grammars.regex("a");
    await Promise.all([grammars.regex("a"), grammars.regex("a")]);
    expect(count()).toBe(1);
    for (let i = 0; i < 70; i++) await grammars.regex(`b{${i + 1}}`);
    expect(count()).toBe(71);
    expect(threads.flatMap(({ posted }) => posted).filter(({ type }) => type === "drop").length).toBeGreaterThan(5);
    expect(await accepts(first, "a", tokenizer)).toBe(true);
    expect(count()).toBe(72);
  });
});

describe("a generation", () => {
  it("gets its masks while another schema is being compiled", async () => {
    const { grammars, threads } = threaded();
    const grammar = await grammars.jsonSchema(QUICK);
    const matcher = await grammar.matcher();
    let over = false;
    const slow = grammars.jsonSchema(SLOW).finally(() => {
      over = true;
    });
    slow.catch(() => {});
    await vi.waitFor(() => expect(threads.some(compiling)).toBe(true), PATIENT);
    for (let i = 0; i < 4; i++) matcher.accept(allowed((await matcher.mask())!)[0]!);
    await matcher.mask();
    expect(over).toBe(false);
    matcher.close();
    grammars.close();
    await expect(slow).rejects.toThrow(/closed/);
  });

  it("goes on in another thread when its own ends, with the same masks", async () => {
    const { grammars, threads } = threaded();
    const grammar = await grammars.jsonSchema(QUICK);
    const [whole, moved] = [await grammar.matcher(), await grammar.matcher()];
    const random = randomFrom(3);
    for (let i = 0; i < 12; i++) {
      if (i === 4 || i === 8) {
        threads.at(-1)!.crash();
        // The other begins anew, and is brought to where it was.
        if (i === 8) break;
      }
      const [mask, same] = [allowed((await whole.mask())!), allowed((await moved.mask())!)];
      expect(same).toEqual(mask);
      const id = mask[Math.floor(random() * mask.length)]!;
      whole.accept(id);
      moved.accept(id);
      if (whole.ended) break;
    }
    expect(threads.length).toBeGreaterThan(1);
    whole.close();
    moved.close();
  });
});

describe("threads", () => {
  it("that cannot be had: compiled here", async () => {
    const { grammars } = threaded({
      start() {
        throw new Error("no workers");
      },
    });
    expect(await accepts(await grammars.json(), '{"a":1}', tokenizer)).toBe(true);
  });

  it("that do not load: compiled here", async () => {
    const missing: GrammarWorker = {
      post: () => {},
      onMessage: () => {},
      onEnd: (ended) => void setTimeout(() => ended("its script could not be loaded", false)),
      stop: () => {},
    };
    const { grammars } = threaded({ start: () => missing });
    expect(await accepts(await grammars.json(), '{"a":1}', tokenizer)).toBe(true);
  });

  it("end with close(), and what waits is refused", async () => {
    const { grammars, threads } = threaded();
    const stops = threads.map(({ worker }) => vi.spyOn(worker, "stop"));
    const grammar = await grammars.json();
    const waiting = grammars.jsonSchema(SLOW);
    grammars.close();
    grammars.close();
    await expect(waiting).rejects.toThrow(/closed/);
    await expect(grammars.json()).rejects.toThrow(/closed/);
    await expect(grammar.matcher()).rejects.toThrow(/closed/);
    expect(stops.every((stop) => stop.mock.calls.length <= 1)).toBe(true);
  });

  it("do not keep a process that forgot to close them", () => {
    const script = `
      import { open } from ${JSON.stringify(`file://${inRepo("dist/src/index.js")}`)};
      const model = await open(${JSON.stringify(inRepo("models/tales"))}, { backend: "cpu", threads: 2 });
      const matcher = await (await model.grammars.json()).matcher();
      console.log((await matcher.mask()).length > 0);
    `;
    const { stdout, status } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      encoding: "utf8",
      timeout: 110_000,
    });
    expect([stdout.trim(), status]).toEqual(["true", 0]);
  });
});
