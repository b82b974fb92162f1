// What a person can begin with.

import type { Kind } from "./conversation.ts";

export interface Starter {
  readonly title: string;
  readonly text: string;
}

export const STARTERS: Readonly<Record<Kind, readonly Starter[]>> = {
  chat: [
    {
      title: "Explain a hard subject simply",
      text: "Explain quantum entanglement to a curious twelve-year-old, with one everyday comparison and without formulas.",
    },
    {
      title: "Write a Python function",
      text: "Write a Python function that finds the longest common prefix of a list of strings. Include type hints, a docstring and three short tests.",
    },
    {
      title: "Draft a marketing mail",
      text: "Draft a short, friendly email that announces a reusable water bottle which keeps drinks cold for 24 hours. End with one clear call to action.",
    },
    {
      title: "Compare two technologies",
      text: "Compare PostgreSQL and SQLite for a small web application: a table of five criteria, then one paragraph of advice.",
    },
  ],
  text: [
    { title: "Begin a tale", text: "Once upon a time, in a village at the edge of a dark forest," },
    { title: "Go on with a list", text: "Ten things to know before visiting Lisbon:\n\n1." },
    { title: "Finish a function", text: 'def is_prime(n: int) -> bool:\n    """Whether n is a prime number."""\n' },
    {
      title: "Answer by example",
      text: "Q: What is the capital of France?\nA: Paris\nQ: What is the capital of Norway?\nA:",
    },
  ],
};
