// Character properties that Python's str methods need and JavaScript's regular expressions lack.

/**
 * Characters that are digits to str.isdigit() but not decimal digits: superscripts, circled digits
 * and the like.
 */
const DIGITS =
  /^[\xb2\xb3\xb9\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u2474-\u247c\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792\u{10a40}-\u{10a43}\u{10e60}-\u{10e68}\u{11052}-\u{1105a}\u{1f100}-\u{1f10a}]$/u;
/** Ideographs that stand for numbers. */
const IDEOGRAPHS =
  /^[\u3405\u3483\u382a\u3b4d\u4e00\u4e03\u4e07\u4e09\u4e5d\u4e8c\u4e94\u4e96\u4ebf-\u4ec0\u4edf\u4ee8\u4f0d\u4f70\u5104\u5146\u5169\u516b\u516d\u5341\u5343-\u5345\u534c\u53c1-\u53c4\u56db\u58f1\u58f9\u5e7a\u5efe-\u5eff\u5f0c-\u5f0e\u5f10\u62fe\u634c\u67d2\u6f06\u7396\u767e\u8086\u842c\u8cae\u8cb3\u8d30\u9621\u9646\u964c\u9678\u96f6]$/u;

export type CharacterTest = (character: string) => boolean;

export const isDecimal: CharacterTest = (c) => /^\p{Nd}$/u.test(c);
export const isDigit: CharacterTest = (c) => isDecimal(c) || DIGITS.test(c);
export const isNumeric: CharacterTest = (c) => /^\p{N}$/u.test(c) || IDEOGRAPHS.test(c);
export const isLetter: CharacterTest = (c) => /^\p{L}$/u.test(c);
export const isPrintable: CharacterTest = (c) => c === " " || /^[^\p{C}\p{Z}]$/u.test(c);
const isLower: CharacterTest = (c) => /^\p{Lowercase}$/u.test(c);
const isUpper: CharacterTest = (c) => /^\p{Uppercase}$/u.test(c);
const isTitle: CharacterTest = (c) => /^\p{Lt}$/u.test(c);
const isCased: CharacterTest = (c) => isLower(c) || isUpper(c) || isTitle(c);

/**
 * str.islower() and str.isupper(): at least one character has this case, and none has the other.
 */
export function hasCase(text: string, wanted: "lower" | "upper"): boolean {
  const [is, isOther] = wanted === "lower" ? [isLower, isUpper] : [isUpper, isLower];
  let some = false;
  for (const character of text) {
    if (isOther(character) || isTitle(character)) return false;
    some ||= is(character);
  }
  return some;
}

/** str.istitle(): every word begins with a capital, followed by small letters. */
export function isTitled(text: string): boolean {
  let [inWord, some] = [false, false];
  for (const character of text) {
    if (isUpper(character) || isTitle(character)) {
      if (inWord) return false;
      [inWord, some] = [true, true];
    } else if (isLower(character)) {
      if (!inWord) return false;
    } else inWord = false;
  }
  return some;
}

/**
 * The three forms each of the digraphs dz with caron, lj, nj and dz: their title case has only the
 * first half as a capital.
 */
const DOUBLE = String.fromCharCode(...Array.from({ length: 9 }, (_, i) => 0x1c4 + i), 0x1f1, 0x1f2, 0x1f3);

/** The title case of a character. */
function titled(character: string): string {
  const double = DOUBLE.indexOf(character);
  if (double >= 0) return DOUBLE[double - (double % 3) + 1]!;
  if (/^[\u10d0-\u10ff]$/.test(character)) return character; // Georgian has capitals for whole words only
  // Greek vowels with an iota subscript have one title case each, eight or nine code points later.
  if (/^[\u1f80-\u1faf]$/.test(character)) return String.fromCharCode(character.charCodeAt(0) | 8);
  if (/^[\u1fb3\u1fc3\u1ff3]$/.test(character)) return String.fromCharCode(character.charCodeAt(0) + 9);
  if (/^[\u1fbc\u1fcc\u1ffc]$/.test(character)) return character;
  const capital = character.toUpperCase();
  if (/^[\u0149\u1fbe]$/.test(character)) return capital; // n preceded by an apostrophe; the spacing iota mark
  if (/^[\u1fb0-\u1fff]$/.test(character)) return capital.replace(/\u0399$/, String.fromCharCode(0x345));
  const [first, ...rest] = Array.from(capital);
  return first + rest.join("").toLowerCase();
}

/** str.title(). */
export function titleCase(text: string): string {
  let [result, inWord] = ["", false];
  for (const character of text) {
    result += inWord ? character.toLowerCase() : titled(character);
    inWord = isCased(character);
  }
  return result;
}

export function capitalized(text: string): string {
  const [first] = text;
  return first === undefined ? "" : titled(first) + text.slice(first.length).toLowerCase();
}

export function swapped(text: string): string {
  return Array.from(text, (c) => (isUpper(c) ? c.toLowerCase() : isLower(c) ? c.toUpperCase() : c)).join("");
}

/** str.casefold() of one character. The dotless i is not folded. */
export function folded(text: string): string {
  return Array.from(text, (c) => (c.charCodeAt(0) === 0x131 ? c : c.toUpperCase().toLowerCase())).join("");
}
