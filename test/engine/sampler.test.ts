import { describe, expect, it } from "vitest";
import { draw, type Filters } from "../../src/engine/draw.ts";
import { randomFrom } from "../../src/engine/random.ts";
import { argMax, createSampler, logProbabilities } from "../../src/engine/sampler.ts";
import { DeviceError, RequestError } from "../../src/errors.ts";

const logits = (...values: number[]) => Float32Array.from(values);
/** How often each token is drawn in `n` draws without memory of earlier ones. */
function shares(values: Float32Array, options: object, n = 4000): number[] {
  const counts = new Array<number>(values.length).fill(0);
  const sampler = createSampler({ temperature: 1, seed: 7, ...options }, values.length, []);
  for (let i = 0; i < n; i++) counts[sampler.next(values)]!++;
  return counts.map((count) => count / n);
}

describe("random generator", () => {
  it("gives the first numbers of xoshiro128** for a seed, for ever", () => {
    const a = randomFrom(1);
    const b = randomFrom(1);
    const c = randomFrom(2 ** 40 + 1);
    const first = [a(), a(), a()];
    expect([b(), b(), b()]).toEqual(first);
    expect([c(), c(), c()]).not.toEqual(first);
    // computed with Python integers, from the published definitions of splitmix32 and xoshiro128**
    expect(first).toEqual([0.5686059948349658, 0.8893939367683266, 0.4705824180198359]);
  });

  it("is uniform: mean 1/2 and variance 1/12 of 100,000 numbers", () => {
    const random = randomFrom(123);
    let sum = 0;
    let squares = 0;
    for (let i = 0; i < 1e5; i++) {
      const x = random();
      sum += x;
      squares += x * x;
    }
    expect(sum / 1e5).toBeCloseTo(0.5, 2);
    expect(squares / 1e5 - (sum / 1e5) ** 2).toBeCloseTo(1 / 12, 2);
  });
});

describe("greedy", () => {
  it("takes the largest logit, the lowest id of equal ones", () => {
    expect(argMax(logits(1, 5, 5, -2))).toBe(1);
    expect(createSampler({}, 3, []).next(logits(0, 2, 1))).toBe(1);
  });
  it("passes over banned tokens and refuses what is not a number", () => {
    expect(argMax(logits(Number.NEGATIVE_INFINITY, -3, -4))).toBe(1);
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => argMax(logits(0, bad, 1))).toThrow(DeviceError);
      expect(() => argMax(logits(0, bad, 1))).toThrow(/logit 1 is/);
    }
    expect(() => argMax(logits(-Infinity, -Infinity))).toThrow(DeviceError);
  });
});

describe("a mask", () => {
  it("is -Infinity in place of every other logit, whatever the rest of the word", () => {
    const random = randomFrom(5);
    for (const [vocab, share] of [70, 64, 33, 7].flatMap((n) => [0.05, 0.5, 1].map((s) => [n, s] as const))) {
      const options = { temperature: 0.9, topP: 0.95, repeatPenalty: 1.2, logitBias: { 3: 2 }, seed: 3 };
      for (const temperature of [0, 0.9]) {
        const [masked, plain] = [0, 1].map(() => createSampler({ ...options, temperature }, vocab, [1, 2]));
        for (let step = 0; step < 12; step++) {
          const row = Float32Array.from({ length: vocab }, () => 8 * random() - 4);
          const kept = row.map((_, id) => (id === step % vocab || random() < share ? 1 : 0));
          const mask = new Int32Array(Math.ceil(vocab / 32)).fill(0);
          for (const [id, one] of kept.entries()) if (one) mask[id >> 5]! |= 1 << (id & 31);
          if (vocab % 32 > 0) mask[vocab >> 5]! |= -1 << (vocab % 32); // beyond the vocabulary
          const banned = row.map((logit, id) => (kept[id] ? logit : Number.NEGATIVE_INFINITY));
          expect(masked!.next(row, mask)).toBe(plain!.next(banned));
        }
      }
    }
  });

  it("of no token is refused, also with bits beyond the vocabulary; of a broken one too", () => {
    const sampler = createSampler({}, 40, []);
    expect(() => sampler.next(new Float32Array(40), Int32Array.of(0, 1 << 8))).toThrow(RequestError);
    expect(() => sampler.next(new Float32Array(40), new Int32Array(0))).toThrow(RequestError);
    const broken = new Float32Array(40).fill(1, 0, 39).fill(Number.NaN, 39);
    expect(() => sampler.next(broken, Int32Array.of(1, 1 << 7))).toThrow(/logit 39 is/);
    expect(sampler.next(broken, Int32Array.of(2))).toBe(1); // short: the others are not allowed
  });
});

describe("sampling", () => {
  const row = logits(Math.log(0.5), Math.log(0.3), Math.log(0.15), Math.log(0.05));
  it.each([
    ["temperature 1", {}, [0.5, 0.3, 0.15, 0.05]],
    ["temperature 0.5 squares the odds", { temperature: 0.5 }, [0.685, 0.2466, 0.0616, 0.0068]],
    ["top-k 2", { topK: 2 }, [0.625, 0.375, 0, 0]],
    ["top-k 1", { topK: 1 }, [1, 0, 0, 0]],
    ["top-p 0.75 keeps the token that crosses it", { topP: 0.75 }, [0.625, 0.375, 0, 0]],
    ["top-p 0 keeps one", { topP: 0 }, [1, 0, 0, 0]],
    ["top-p is of what top-k left", { topK: 3, topP: 0.8 }, [0.625, 0.375, 0, 0]],
    ["min-p 0.25 of the largest", { minP: 0.25 }, [0.5263, 0.3158, 0.1579, 0]],
    ["a bias that moves all to one token", { logitBias: { 3: 50 } }, [0, 0, 0, 1]],
  ])("%s", (_name, options, expected) => {
    const found = shares(row, options);
    for (const [i, share] of expected.entries()) {
      if (share === 0) expect(found[i]).toBe(0);
      // five standard deviations of a share of 4,000 draws
      else expect(Math.abs(found[i]! - share)).toBeLessThanOrEqual(5 * Math.sqrt((share * (1 - share)) / 4000));
    }
  });

  it("gives the same tokens for the same seed and others for another", () => {
    const draw = (seed: number) => {
      const sampler = createSampler({ temperature: 1, seed }, 4, []);
      return Array.from({ length: 50 }, () => sampler.next(row)).join("");
    };
    expect(draw(3)).toBe(draw(3));
    expect(draw(3)).not.toBe(draw(4));
  });
});

/**
 * The definition of a draw, by the letter: everything sorted, cut by each filter, laid out (the 256
 * most likely first, then the others by id), and the token taken at which the sum exceeds the
 * random number's share.
 */
function defined(row: Float32Array, o: Required<Filters>, random: number): number {
  const max = Math.max(...row);
  const weight = (id: number) => Math.exp((row[id]! - max) / o.temperature);
  const mass = (ids: readonly number[]) => ids.reduce((sum, id) => sum + weight(id), 0);
  let ids = [...row.keys()].sort((a, b) => row[b]! - row[a]! || a - b);
  if (o.topK > 0) ids = ids.slice(0, o.topK);
  const goal = o.topP * mass(ids);
  let reached = 0;
  ids = ids.filter((id, rank) => {
    const take = rank === 0 || o.topP === 1 || reached < goal;
    reached += weight(id);
    return take && (rank === 0 || weight(id) >= o.minP);
  });
  const order = [...ids.slice(0, 256), ...ids.slice(256).sort((a, b) => a - b)];
  let left = random * mass(order);
  for (const id of order) {
    left -= weight(id);
    if (left < 0) return id;
  }
  return order.at(-1)!;
}

describe("the order of a draw", () => {
  const V = 1500;
  const next = randomFrom(8);
  const rows = {
    peaked: Float32Array.from({ length: V }, () => 30 * next() ** 6),
    even: Float32Array.from({ length: V }, () => 2 * next()),
    ties: Float32Array.from({ length: V }, () => Math.floor(3 * next())),
    ascending: Float32Array.from({ length: V }, (_, i) => i / 200),
  };
  const filters = [
    {},
    { topK: 1 },
    { topK: 40 },
    { topK: 256 },
    { topK: 900 },
    { topP: 0.5 },
    { topP: 0.99 },
    { minP: 0.3 },
    { minP: 0.9 },
    { topK: 700, topP: 0.9, minP: 0.05 },
    { topP: 0.8, minP: 0.4, temperature: 0.7 },
    { temperature: 5 },
  ];
  it.each(Object.keys(rows) as (keyof typeof rows)[])(
    "is the definition's, whatever the filters: %s logits",
    (name) => {
      for (const filter of filters) {
        const o = { temperature: 1, topK: 0, topP: 1, minP: 0, ...filter };
        for (let i = 0; i < 40; i++) {
          const random = i / 40 + next() / 40;
          const found = draw(rows[name].slice(), Math.max(...rows[name]), o, random);
          expect(found, `${JSON.stringify(filter)} at ${random}`).toBe(defined(rows[name], o, random));
        }
      }
    },
  );
});

describe("a sampler whose tokens another chose", () => {
  it("goes on as if it had chosen them", () => {
    const next = randomFrom(3);
    const rows = Array.from({ length: 40 }, () => Float32Array.from({ length: 50 }, () => 4 * next()));
    const options = { temperature: 1, repeatPenalty: 1.3, frequencyPenalty: 0.2, presencePenalty: 0.1, seed: 9 };
    const alone = createSampler(options, 50, [1]);
    const told = createSampler(options, 50, [1]);
    for (const [i, row] of rows.entries()) {
      const expected = alone.next(row);
      if (i % 3 === 0) expect(told.next(row)).toBe(expected);
      else told.accept(expected);
    }
    expect(told.chooser()).toEqual(alone.chooser());
  });

  it("says where it stands, as a copy", () => {
    const options = { temperature: 0.5, topK: 3, logitBias: { 2: 1.5 }, seed: 1 };
    const sampler = createSampler(options, 4, [3]);
    const first = sampler.chooser();
    sampler.accept(2);
    sampler.accept(2);
    expect([...first.seen]).toEqual([3]);
    expect(first.counts).toEqual(new Map());
    expect(first).toMatchObject({ vocab: 4, temperature: 0.5, topK: 3, topP: 1, logitBias: new Map([[2, 1.5]]) });
    const random = randomFrom(1);
    expect(first.random).toEqual(random.state);
    random();
    random();
    expect(sampler.chooser().random).toEqual(random.state);
    expect(sampler.chooser().counts).toEqual(new Map([[2, 2]]));
    expect([...sampler.chooser().seen]).toEqual([3, 2]);
  });
});

describe("penalties", () => {
  it("repetition divides positive and multiplies negative logits of the prompt and the answer", () => {
    const sampler = createSampler({ repeatPenalty: 2 }, 4, [0]);
    const row = logits(3, 2, -1, -3);
    expect(sampler.next(row)).toBe(1); // 3 / 2 < 2
    expect(sampler.next(row)).toBe(0); // now 1.5 against 1
    // -2 < -1.5
    expect(createSampler({ repeatPenalty: 2 }, 3, [0]).next(logits(-1, -1.5, -9))).toBe(1);
  });
  it("frequency counts each time, presence once, and neither counts the prompt", () => {
    const row = logits(1, 0.5, 0);
    const frequency = createSampler({ frequencyPenalty: 0.3 }, 3, [0, 0, 0]);
    expect([0, 0, 0, 0, 0].map(() => frequency.next(row))).toEqual([0, 0, 1, 0, 1]);
    const presence = createSampler({ presencePenalty: 0.6 }, 3, []);
    expect([0, 0, 0].map(() => presence.next(row))).toEqual([0, 1, 0]);
  });
  it("leaves the caller's logits alone", () => {
    const row = logits(1, 2, 3);
    createSampler({ temperature: 0.7, topP: 0.9, repeatPenalty: 2, logitBias: { 0: 1 } }, 3, [1]).next(row);
    expect([...row]).toEqual([1, 2, 3]);
  });
});

describe("options", () => {
  it.each([
    { temperature: -1 },
    { temperature: Number.NaN },
    { temperature: Number.POSITIVE_INFINITY },
    { topP: 2 },
    { topK: -1 },
    { topK: 1.5 },
    { minP: 1.1 },
    { repeatPenalty: 0 },
    { seed: 2 ** 53 },
    { seed: -1 },
    { logitBias: { 9: 1 } },
    { logitBias: { 0: Number.NaN } },
  ])("refuses %j by name", (options) => {
    expect(() => createSampler(options, 4, [])).toThrow(RequestError);
    expect(() => createSampler(options, 4, [])).toThrow(Object.keys(options)[0]!);
  });
});

describe("log probabilities", () => {
  it("are log softmax of the logits, most likely first, ties by id", () => {
    const { logprob, top } = logProbabilities(logits(1, 3, 3, 0), 0, 3);
    const norm = Math.log(Math.exp(1) + 2 * Math.exp(3) + 1);
    expect(logprob).toBeCloseTo(1 - norm, 6);
    expect(top.map((t) => t.id)).toEqual([1, 2, 0]);
    expect(top[0]!.logprob).toBeCloseTo(3 - norm, 6);
  });
});
