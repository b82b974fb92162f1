// The texts of the benchmark of speculation: ten usual ones, and those that are copied.

const FOX =
  "Once upon a time there was a fox who lived in the deep wood. One day the fox met a hare and said: give me your bread. The hare said: I have no bread, but I know where the baker lives. ";
const KING =
  "There was once a king who had three daughters, and the youngest was so beautiful that the sun himself wondered whenever he looked upon her. Near the castle lay a great dark forest. ";
const MILLER =
  "The miller had a mill by the river, and three sons who worked in it. The eldest carried the sacks, the second turned the stones, and the youngest swept the floor from morning until evening. ";

export interface Text {
  readonly name: string;
  /** `copied`: the answer is an earlier part of the prompt. */
  readonly kind: "usual" | "copied" | "repeated";
  readonly prompt: string;
  /** The text that the answer must be; absent: it is free. */
  readonly held?: string;
}

const USUAL = [
  "Once upon a time",
  "The Fox and the Crow\n\n",
  '"Who are you?" said the',
  "The wind was cold, and in the wood there was",
  "Long ago, in a small town by the sea,",
  "The wolf went down to the river. ",
  "“Dear mother,” said the girl, ",
  FOX,
  KING,
  MILLER,
];

/** Texts that are drawn; that are asked for again; and that were said three times. */
export const TEXTS: readonly Text[] = [
  ...USUAL.map((prompt, i) => ({ name: `usual ${i + 1}`, kind: "usual", prompt }) as const),
  ...[FOX, KING, MILLER].map((story, i) => ({
    ...({ name: `copied ${i + 1}`, kind: "copied" } as const),
    prompt: `The old woman told a story. ${story}And the boy said it after her, word for word. `,
    held: story.trim(),
  })),
  ...[FOX, KING, MILLER].map((story, i) => ({
    ...({ name: `repeated ${i + 1}`, kind: "repeated" } as const),
    prompt: story.repeat(3),
  })),
];
