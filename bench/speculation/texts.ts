// The texts of the benchmark of speculation: ten usual ones, and those that are copied.

const FOX =
  "Once upon a time there was a fox who lived in the deep wood. One day the fox met a hare and said: give me your bread. The hare said: I have no bread, but I know where the baker lives. ";
const KING =
  "There was once a king who had three daughters, and the youngest was so beautiful that the sun himself wondered whenever he looked upon her. Near the castle lay a great dark forest. ";
const MILLER =
  "The miller had a mill by the river, and three sons who worked in it. The eldest carried the sacks, the second turned the stones, and the youngest swept the floor from morning until evening. ";
/** A longer one, of several paragraphs. */
const BELL = [
  "In a village between two hills there lived an old man who made bells. He had made bells all his life, for churches and for cows, for ships and for the doors of shops, and every one of them had a voice of its own. But the bell which he loved most hung in his own garden, in the branches of a pear tree, and it was so small that a child could hold it in one hand.",
  "One morning, when the snow lay deep upon the hills, a girl came to the door. Her father was a shepherd, and three of his sheep had gone astray in the night. “Lend me the little bell,” said the girl, “for the sheep know its voice, and when they hear it they will come home.” The old man looked at her for a long time. Then he went into the garden, took the bell from the tree, and gave it to her.",
  "The girl walked over the first hill and rang the bell, but no sheep came. She walked over the second hill and rang it again, and far away in the valley she heard an answer. There stood the three sheep under a rock, and beside them sat a wolf, who was so cold that he could not move his feet. “Take me with you,” said the wolf, “and I will never eat a sheep again as long as I live.”",
  "So the girl went home with three sheep and a wolf, and all the village stood at the windows and wondered. The old man laughed until the tears ran down into his beard. He hung the bell in the pear tree again, and when the wind blew from the hills the wolf lay down beneath it and slept like a lamb.",
].join("\n\n");
/** What is said in another way when the story is told again. */
const CHANGES = [
  ["an old man who made bells", "an old woman who cast bells"],
  ["for ships and for the doors of shops", "for ships, for schools and for the doors of shops"],
  ["in the branches of a pear tree", "in an apple tree"],
  ["a girl came to the door", "a boy came to the door"],
  ["three of his sheep", "five of his goats"],
  ["for a long time", "and did not say a word"],
  ["stood the three sheep under a rock", "stood the goats under a rock"],
  ["until the tears ran down into his beard", "until she could laugh no more"],
] as const;

export interface Text {
  readonly name: string;
  /**
   * `copied`: the answer is an earlier part of the prompt; `quoted`: in the prompt's own tokens;
   * `edited`: but for a few words.
   */
  readonly kind: "usual" | "copied" | "quoted" | "edited" | "repeated";
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

const told = (story: string): string =>
  `The old woman told a story. ${story}And the boy said it after her, word for word. `;

const COPIED = [FOX, KING, MILLER, `${BELL} `].map((story) => ({ prompt: told(story), held: story.trim() }));

/** Texts that are drawn; that are asked for again; and that were said three times. */
export const TEXTS: readonly Text[] = [
  ...USUAL.map((prompt, i) => ({ name: `usual ${i + 1}`, kind: "usual", prompt }) as const),
  ...COPIED.map((text, i) => ({ name: `copied ${i + 1}`, kind: "copied", ...text }) as const),
  ...COPIED.map((text, i) => ({ name: `quoted ${i + 1}`, kind: "quoted", ...text }) as const),
  {
    ...({ name: "edited 1", kind: "edited" } as const),
    prompt: told(`${BELL} `),
    held: CHANGES.reduce((text, [from, to]) => text.replace(from, to), BELL),
  },
  ...[FOX, KING, MILLER].map((story, i) => ({
    ...({ name: `repeated ${i + 1}`, kind: "repeated" } as const),
    prompt: story.repeat(3),
  })),
];
