// Four kinds of text, written for this benchmark: the beginnings that traces start from.

/** Beginnings by kind; each is continued in its own session. */
export const TEXTS: Readonly<Record<string, readonly string[]>> = {
  // What models/tales was trained on.
  stories: [
    "Once upon a time there was a miller who had three sons, and when he grew old he called them to his bed and said: " +
      "I have little to leave you, but whoever brings me the water that never runs dry shall have the mill.",
    "In a small house at the edge of the wood there lived an old woman and her cat. Every evening, when the lamp was lit, " +
      "somebody knocked three times at the window, and every evening, when she opened it, there was nobody to be seen.",
    "The youngest princess had a ball of glass, and whoever looked into it saw the place where he had been happiest. " +
      "One day it rolled down the steps of the garden and into the well.",
    "Far out at sea, where the water is as blue as the petals of the cornflower, there was an island that no ship had found. " +
      "A giant lived on it, and he was lonely.",
  ],
  dialogue: [
    '"Who is there?" asked the girl.\n"Only me," said the voice behind the door.\n"And who is that?"\n"If you let me in, you ' +
      'will see."\n"I shall not let you in before you tell me your name."\n"Then I must stay where I am," said the voice.\n',
    '"Have you seen my brother?"\n"Which one? You have seven."\n"The one with the red cap."\n"He went to the river this ' +
      'morning," said the boy, "and he was singing."\n"That is not like him," said Tom. "What did he sing?"\n',
    '"You are late," said the cook.\n"I know it," said Hans, "but the bridge was down."\n"It was not down yesterday."\n"No, ' +
      'and tomorrow it will be up again."\n"Who told you so?"\n"The man who broke it."\n',
    '"Mother, why does the moon follow us?"\n"It does not follow us, child."\n"But it was over the church, and now it is over ' +
      'the barn."\n"Ask your father."\n"Father says that I should ask you."\n"Then go to sleep."\n',
  ],
  verse: [
    "The wind went over hill and lea,\nThe wind went over town,\nIt shook the apples from the tree\nAnd blew the chimneys down.\n\n" +
      "It knocked upon the miller's door,\nIt whistled through the hay,\n",
    "Sleep, little one, the day is done,\nThe sheep are in the fold,\nAnd all that glittered in the sun\nIs silver now, not gold.\n\n" +
      "Sleep, little one, the stars are lit,\nThe owl is on the bough,\n",
    "Three sailors went to sea, to sea,\nUpon a summer's day;\nThey took a cat for company\nAnd sailed across the bay.\n\n" +
      'The first one said, "I see a whale,"\nThe second said, "A stone,"\n',
    "O where have you been, my bonny lass,\nWith dew upon your shoe?\nI walked all night through the meadow grass\nTo bring a rose to you.\n\n" +
      "And where is the rose, my bonny lass,\nAnd where the ring of gold?\n",
  ],
  code: [
    "function sum(list) {\n  let total = 0;\n  for (const x of list) {\n    total += x;\n  }\n  return total;\n}\n\n" +
      "function mean(list) {\n  return sum(list) / list.length;\n}\n\nfunction max(list) {\n",
    'int main(void) {\n  int i, n = 10;\n  for (i = 0; i < n; i++) {\n    if (i % 2 == 0) printf("%d\\n", i);\n  }\n  return 0;\n}\n\n' +
      "int add(int a, int b) {\n",
    "def find(items, key):\n    for i, item in enumerate(items):\n        if item == key:\n            return i\n    return -1\n\n" +
      "def count(items, key):\n    n = 0\n    for item in items:\n",
    "SELECT name, age FROM people WHERE age > 21 ORDER BY name;\nSELECT count(*) FROM orders WHERE paid = 1;\n" +
      "INSERT INTO people (name, age) VALUES ('Ada', 36);\nUPDATE orders SET paid = 1 WHERE id = 7;\n",
  ],
};
