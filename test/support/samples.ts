// The samples in the documentation: fenced blocks, and the commands in them.

export interface Sample {
  readonly page: string;
  /** The line of its fence. */
  readonly line: number;
  /** What stands behind the fence: "ts", "" for what is typed into a shell. */
  readonly language: string;
  readonly text: string;
}

/** The fenced blocks of a page. */
export function samplesOf(page: string, markdown: string): Sample[] {
  const found: Sample[] = [];
  let open: { line: number; language: string; lines: string[] } | null = null;
  markdown.split("\n").forEach((line, no) => {
    const fence = /^\s*```(.*)$/.exec(line);
    if (fence === null) open?.lines.push(line);
    else if (open === null) open = { line: no + 1, language: fence[1]!.trim(), lines: [] };
    else {
      found.push({ page, line: open.line, language: open.language, text: open.lines.join("\n") });
      open = null;
    }
  });
  return found;
}

/** Code between backticks in the text of a page, outside of fenced blocks. */
export function inlineCode(markdown: string): string[] {
  const prose = markdown.replace(/^\s*```[\s\S]*?^\s*```$/gm, "");
  return [...prose.matchAll(/(?<!`)`([^`]+)`(?!`)/g)].map(([, code]) => code!.replace(/\s+/g, " "));
}

/** The words of each command of a shell's text: quotes, comments, pipes and continued lines. */
export function commandsOf(text: string): string[][] {
  const commands: string[][] = [[]];
  const word = /[ \t]*(?:(\\\n)|(#[^\n]*)|(\n|\||&&|;)|((?:"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\s|;#"'\\]|(?<=\S)#)+))/gy;
  const spaced = text.replace(/[ \t]+/g, " ");
  for (let found = word.exec(spaced); found; found = word.exec(spaced)) {
    const [, , , end, raw] = found;
    if (end !== undefined) commands.push([]);
    if (raw !== undefined) commands.at(-1)!.push(raw.replace(/"((?:[^"\\]|\\.)*)"|'([^']*)'|\\(.)/g, "$1$2$3"));
  }
  // Variables of the environment before a command are none of its words.
  return commands
    .map((words) => words.slice(words.findIndex((one) => !/^\w+=/.test(one))))
    .filter((words) => words.length > 0);
}
