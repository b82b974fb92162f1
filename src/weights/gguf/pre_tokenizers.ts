// How text is cut into words before byte-level merges: the patterns of the models' tokenizer.json,
// by the names of tokenizer.ggml.pre.

/** What a name stands for. */
export interface PreTokenizer {
  /** Patterns, one after the other: each cuts the pieces that the one before it left. */
  readonly patterns: readonly string[];
  /** Unicode's normal form of the text, if the model's tokenizer has one. */
  readonly normalForm?: "NFC";
  /** Whether a word that is a token is taken whole, without merging. */
  readonly wholeWords?: true;
  /** Whether BOS is put in front where the file does not say. */
  readonly addBos?: true;
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const LINES = String.raw`\s*[\r\n]+|\s+(?!\S)|\s+`;
const GPT2 = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

/** cl100k's pattern, with the numbers that it takes at once. */
function cl100k(numbers: string): string {
  return String.raw`${CONTRACTIONS}|[^\r\n\p{L}\p{N}]?\p{L}+|${numbers}| ?[^\s\p{L}\p{N}]+[\r\n]*|${LINES}`;
}

/** o200k's pattern: words end where lower case is followed by upper case. */
function o200k(contractions: string, numbers: string): string {
  const upper = String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`;
  const lower = String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`;
  const before = String.raw`[^\r\n\p{L}\p{N}]?`;
  return [
    `${before}${upper}*${lower}+${contractions}`,
    `${before}${upper}+${lower}*${contractions}`,
    numbers,
    String.raw` ?[^\s\p{L}\p{N}]+[\r\n/]*`,
    LINES,
  ].join("|");
}

/** A class of characters of these ranges of code points. */
function ranges(list: string): string {
  const character = (hex: string): string => String.fromCodePoint(Number.parseInt(hex, 16));
  return list.replace(/[0-9a-f]+/g, character).replaceAll(" ", "");
}

/** Letters of scripts with upper and lower case, as deepseek-llm's tokenizer.json lists them. */
const CASED_LETTERS = ranges(
  "41-5a 61-7a b5 c0-d6 d8-f6 f8-1ba 1bc-1bf 1c4-293 295-2af 370-373 376 377 37b-37d 37f 386 388-38a 38c 38e-3a1 " +
    "3a3-3f5 3f7-481 48a-52f 531-556 10a0-10c5 13a0-13f5 13f8-13fd 1c90-1cba 1cbd-1cbf 1d00-1d2b 1d6b-1d77 1d79-1d9a " +
    "1e00-1f15 1f18-1f1d 1f20-1f45 1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 1fb6-1fbc 1fbe 1fc2-1fc4 " +
    "1fc6-1fcc 1fd0-1fd3 1fd6-1fdb 1fe0-1fec 1ff2-1ff4 1ff6-1ffc 2102 2107 210a-2113 2115 2119-211d 2124 2126 2128 " +
    "212a-212d 212f-2134 2139 213c-213f 2145-2149 214e 2183 2184 2c00-2c7b 2c7e-2ce4 2ceb-2cee 2cf2 2cf3 a640-a66d " +
    "a680-a69b a722-a76f a771-a787 a78b-a78e ab70-abbf fb00-fb06 fb13-fb17 ff21-ff3a ff41-ff5a 10400-1044f " +
    "104b0-104d3 104d8-104fb 10c80-10cb2 10cc0-10cf2 118a0-118df 1e900-1e943",
);
const DEEPSEEK_PUNCTUATION = ranges("21-2f 3a-7e ff01-ff0f ff1a-ff5e 2018-201f 3000-3002");
const DEEPSEEK_CJK = ranges("4e00-9fa5 800-4e00 ac00-d7ff");
const CJK_AND_KANA = ranges("4e00-9fa5 3040-309f 30a0-30ff");

const LLAMA3 = cl100k(String.raw`\p{N}{1,3}`);
const QWEN2: PreTokenizer = { patterns: [cl100k(String.raw`\p{N}`)], normalForm: "NFC" };
const QWEN35_PATTERN = [
  CONTRACTIONS,
  String.raw`[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+`,
  String.raw`\p{N}`,
  String.raw` ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*`,
  LINES,
].join("|");
const DEEPSEEK3_PATTERN = [
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+",
  String.raw`[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+`,
  String.raw` ?[\p{P}\p{S}]+[\r\n]*`,
  LINES,
].join("|");

const LLAMA_BPE: PreTokenizer = { patterns: [LLAMA3], wholeWords: true, addBos: true };
const TEKKEN: PreTokenizer = { patterns: [o200k("", String.raw`\p{N}`)], wholeWords: true, addBos: true };
const GPT_4O: PreTokenizer = { patterns: [o200k(`${CONTRACTIONS}?`, String.raw`\p{N}{1,3}`)] };
const DIGITS_FIRST: PreTokenizer = { patterns: [String.raw`\p{N}`, GPT2] };

/** The name of a file that has none. Those of before May 2024 may have been made for any model. */
export const NO_NAME = "default";

export const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = new Map([
  // llama.cpp's own rules for a byte-level vocabulary of which it knows nothing
  [
    NO_NAME,
    {
      patterns: [
        String.raw`[\p{P}\$\+<=>\^\~\|]+`,
        String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)`,
        String.raw`\p{N}+`,
        "[0-9][0-9][0-9]",
      ],
    },
  ],
  ["qwen2", QWEN2],
  ["deepseek-r1-qwen", QWEN2],
  ["megrez", QWEN2],
  ["qwen35", { patterns: [QWEN35_PATTERN], normalForm: "NFC" }],
  ["llama-bpe", LLAMA_BPE],
  ["llama3", LLAMA_BPE],
  ["llama-v3", LLAMA_BPE],
  ["lfm2", LLAMA_BPE],
  ["dbrx", { patterns: [LLAMA3] }],
  ["smaug-bpe", { patterns: [LLAMA3] }],
  ["glm4", { patterns: [LLAMA3] }],
  ["chatglm-bpe", { patterns: [LLAMA3] }],
  ["gpt-4o", GPT_4O],
  ["llama4", GPT_4O],
  ["minimax-m2", GPT_4O],
  ["tekken", TEKKEN],
  ["gpt-2", { patterns: [GPT2] }],
  ["olmo", { patterns: [GPT2], normalForm: "NFC" }],
  ["refact", DIGITS_FIRST],
  ["starcoder", DIGITS_FIRST],
  ["smollm", DIGITS_FIRST],
  ["deepseek-v3", { patterns: [String.raw`\p{N}{1,3}`, `[${CJK_AND_KANA}]+`, DEEPSEEK3_PATTERN] }],
  [
    "deepseek-llm",
    {
      patterns: [
        "[\r\n]",
        String.raw`\s?[${CASED_LETTERS}]+`,
        String.raw`\s?[${DEEPSEEK_PUNCTUATION}]+`,
        String.raw`(?<!\s)\s+$`, // \s+$ there, which would be tried from every space of a run
        `[${DEEPSEEK_CJK}]+`,
        String.raw`\p{N}+`,
      ],
    },
  ],
] satisfies [string, PreTokenizer][]);
