// The script of a page's thread for grammars, as a file.

export function fileGrammarThread(): Worker {
  return new Worker(new URL("./web_grammar_worker.js", import.meta.url), { type: "module" });
}
