// `hotset tokenize` as a user meets it.

import { describe, expect, it } from "vitest";
import { hotset, tales } from "../support/cli.ts";
import { some } from "../support/some.ts";

describe("hotset tokenize", () => {
  it.each(
    some<[string, string[], string, string]>(
      [
        ["a text", [tales, "Once upon a time"], "", '1\t"<s>"\n2337\t"▁Once"\n662\t"▁upon"\n261\t"▁a"\n536\t"▁time"\n'],
        ["ids alone", [tales, "Once upon a time", "--ids", "--no-bos"], "", "2337 662 261 536\n"],
        ["stdin", [tales, "--ids"], "Once upon a time\n", "1 2337 662 261 536\n"],
        ["control tokens", [tales, "</s>", "--ids", "--no-bos", "--special"], "", "2\n"],
        ["ids to text", [tales, "--decode", "1", "2337,662", "261 536"], "", "Once upon a time\n"],
        ["ids to text with control tokens", [tales, "--decode", "1,2337,2", "--special"], "", "<s> Once</s>\n"],
        ["JSON", [tales, "a", "--json"], "", '{"ids":[1,261],"pieces":["<s>","▁a"]}\n'],
        ["JSON of ids", [tales, "--json", "--decode", "261"], "", '{"ids":[261],"pieces":["▁a"],"text":"a"}\n'],
      ],
      3,
    ),
  )("%s", async (_, args, input, stdout) => {
    expect(await hotset(["tokenize", ...args], input)).toEqual({ code: 0, signal: null, stdout, stderr: "" });
  });

  it.each(
    some<[string, string[], number, RegExp]>(
      [
        [
          "no such folder",
          ["no-such-folder", "a"],
          1,
          /^hotset: no-such-folder: .*or a short name \(mixtral, .*\), found nothing\n$/,
        ],
        ["a folder without a tokenizer", ["src", "a"], 1, /^hotset: src: expected tokenizer\.json/],
        ["an id that is no number", [tales, "--decode", "x"], 2, /^hotset: .*Expected an integer/],
        ["no text", [tales], 1, /^hotset: prompt: stdin was empty; pipe a text in, or pass one after the folder\n$/],
        ["no folder", [], 2, /^hotset: missing required argument 'folder'/],
      ],
      2,
    ),
  )("%s", async (_, args, code, stderr) => {
    const outcome = await hotset(["tokenize", ...args]);
    expect(outcome).toMatchObject({ code, stdout: "" });
    expect(outcome.stderr).toMatch(stderr);
  });
});
