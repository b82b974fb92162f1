// Colours for code: highlight.js's grammars, whose result becomes vnodes. A chunk of its own,
// loaded with the first code.

import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import csharp from "highlight.js/lib/languages/csharp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import kotlin from "highlight.js/lib/languages/kotlin";
import php from "highlight.js/lib/languages/php";
import python from "highlight.js/lib/languages/python";
import ruby from "highlight.js/lib/languages/ruby";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { createLowlight } from "lowlight";
import { type ComponentChildren, h } from "preact";

const LANGUAGES = {
  bash,
  c,
  cpp,
  csharp,
  css,
  diff,
  go,
  java,
  javascript,
  json,
  kotlin,
  php,
  python,
  ruby,
  rust,
  sql,
  typescript,
  xml,
  yaml,
};
const low = createLowlight(LANGUAGES);

type Found = ReturnType<typeof low.highlight>["children"][number];

/** The code as it is where the language is not known. */
export function highlighted(text: string, language: string): ComponentChildren {
  const name = language.toLowerCase();
  return low.registered(name) ? low.highlight(name, text).children.map(vnode) : text;
}

function vnode(found: Found): ComponentChildren {
  if (found.type === "text") return found.value;
  if (found.type !== "element") return null;
  const names = found.properties.className;
  return h("span", { class: Array.isArray(names) ? names.join(" ") : "" }, found.children.map(vnode));
}
