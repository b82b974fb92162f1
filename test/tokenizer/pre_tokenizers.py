"""Writes test/fixtures/tokenizer/pre_tokenizers.json: what the Rust tokenizers make of hard texts.

    pip install tokenizers==0.23.2
    python test/tokenizer/pre_tokenizers.py

The byte-level vocabulary is trained here, on texts of this repository, without any cut into words,
so that its merges cross the cuts and ids show each of them. The patterns are those of the models'
own tokenizer.json, written out; "default" and "deepseek-llm" are llama.cpp's.
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = Path(__file__).parents[2]

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LETTERS = """41-5a 61-7a b5 c0-d6 d8-f6 f8-1ba 1bc-1bf 1c4-293 295-2af 370-373 376 377 37b-37d 37f 386 388-38a 38c
38e-3a1 3a3-3f5 3f7-481 48a-52f 531-556 10a0-10c5 13a0-13f5 13f8-13fd 1c90-1cba 1cbd-1cbf 1d00-1d2b 1d6b-1d77
1d79-1d9a 1e00-1f15 1f18-1f1d 1f20-1f45 1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 1fb6-1fbc 1fbe
1fc2-1fc4 1fc6-1fcc 1fd0-1fd3 1fd6-1fdb 1fe0-1fec 1ff2-1ff4 1ff6-1ffc 2102 2107 210a-2113 2115 2119-211d 2124 2126
2128 212a-212d 212f-2134 2139 213c-213f 2145-2149 214e 2183 2184 2c00-2c7b 2c7e-2ce4 2ceb-2cee 2cf2 2cf3 a640-a66d
a680-a69b a722-a76f a771-a787 a78b-a78e ab70-abbf fb00-fb06 fb13-fb17 ff21-ff3a ff41-ff5a 10400-1044f 104b0-104d3
104d8-104fb 10c80-10cb2 10cc0-10cf2 118a0-118df 1e900-1e943"""
CASED = "".join("-".join(chr(int(end, 16)) for end in part.split("-")) for part in LETTERS.split())

# name of tokenizer.ggml.pre: (patterns in a row, normal form, whole words)
PRES = {
    "default": (
        [
            r"[\p{P}\$\+<=>\^\~\|]+",
            r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
            r"\p{N}+",
            r"[0-9][0-9][0-9]",
        ],
        None,
        False,
    ),
    "qwen2": (
        [
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+"
        ],
        "NFC",
        False,
    ),
    "qwen35": (
        [
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
            r"|\s*[\r\n]+|\s+(?!\S)|\s+"
        ],
        "NFC",
        False,
    ),
    "llama-bpe": ([LLAMA3], None, True),
    "dbrx": ([LLAMA3], None, False),
    "gpt-4o": (
        [
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
            r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ],
        None,
        False,
    ),
    "tekken": (
        [
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
            r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ],
        None,
        True,
    ),
    "gpt-2": ([GPT2], None, False),
    "olmo": ([GPT2], "NFC", False),
    "refact": ([r"\p{N}", GPT2], None, False),
    "deepseek-v3": (
        [
            r"\p{N}{1,3}",
            "[一-龥\u3040-ゟ゠-ヿ]+",
            r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
            r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
        ],
        None,
        False,
    ),
    "deepseek-llm": (
        [
            "[\r\n]",
            rf"\s?[{CASED}]+",
            "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+",
            r"\s+$",
            "[一-龥\u0800-一가-\ud7ff]+",
            r"\p{N}+",
        ],
        None,
        False,
    ),
}

SCRIPTS = [
    "The king's daughters weren't there; they'd gone, I'm sure, and we'll see what you've lost.",
    "THE KING'S DAUGHTERS WEREN'T THERE, THEY'D SAID: WE'LL, I'M, YOU'VE, YOU'RE",
    "don’t mix ‘curly’ “quotes” — or –dashes… ¿qué? ¡sí!",
    "camelCase PascalCase snake_case SCREAMING_SNAKE kebab-case HTTPServer iPhone eBay McDonald",
    "Привет, мир! Как дела? Ёлка и ЁЖ в СССР", "Ελληνικά: Ἀχιλλεύς, ΟΔΥΣΣΕΥΣ, ᾳ ῌ ᾼ", "Հայերեն ՀԱՅԵՐԵՆ ქართული ᲥᲐᲠᲗᲣᲚᲘ",
    "日本語のテキスト、カタカナとひらがな。漢字：「東京」です！", "中文没有空格，但是有标点。数字123和ABC混合", "한국어 띄어쓰기는 있어요 ㅋㅋㅋ",
    "नमस्ते दुनिया, क्या हाल है?", "สวัสดีชาวโลก ๑๒๓", "مرحبا بالعالم ١٢٣ السَّلَامُ", "שָׁלוֹם עולם", "বাংলা লিপি ১২৩ তেলుগు",
    "Tiếng Việt có dấu: Nguyễn", "Tie\u0302\u0301ng Vie\u0323\u0302t de\u0301compose\u0301", "e\u0301e\u0301 É\u0301 a\u0308ou n\u0303",
    "Straße ẞ ﬁ ﬂ ŉ ǅ ǆ Ǆ ᶚ ʰ ª º ℡ ™ ℵ ⅷ Ⅷ ½ ²³ ①②③ ㊀", "Ω K Å Å \u2126\u212a\u212b", "👍🏽👨‍👩‍👧 🇩🇪 ❤️ ☃ \U0001f600\U0001f600!",
    "x = f(a, b) # comment\n\tif x != None:\n\t\treturn {'k': [1, 2.5e-3]}\n\n\n", "for(int i=0;i<10;++i){a[i]=b->c;} // end\r\n\r\n  }",
    "https://example.org/a/b?q=1&r=%20#frag //// \\\\ path\\to\\file", "#include <stdio.h>\n/* a */\n#define X 0xFF", "SELECT * FROM t WHERE a>=1 AND b<>'x';",
    "<html><p class=\"a\">&amp;</p></html>", "a+b=c $5.00 50% ~/x ^2 |y| `code` @me #tag {z} [w]", "...!!!??? --- === *** ___ ::: ;;; ,,, '''' \"\"\"\"",
    "1 12 123 1234 12345 123456 1234567 3.14159 1,000,000 10e10 0x1F 2024-01-31", "v1.2.3-beta4 A1B2C3 9a 9Z 9é 9中",
    "  leading and trailing  ", "a  b   c    d", "\n", "\n\n", "\r\n", "\r", " \n", "\n ", "\t\t\n  \n", "   \n   \n   x", "x   \n", "x \t y", " ", "  ", "   ", "\t",
    "a\u00a0b\u2003c\u3000d\u200be\ufefff\u0085g\u2028h", "\ufeffBOM", "\u0085\u0085 x", "\u200d\u200c", "\x00\x01\x7f", "a\x0bb\x0cc", "\u00ad\u2060x",
    "'s 'S 'T 'LL 'Ll 'lL 'RE 'vE 'ſ ſ's K's", "it's'nt''s 's's", "o'clock rock'n'roll 'twas", "I'M NOT 'D 'M'M", "x'tx X'Tx x'T",
    "/usr/bin/\n//\n", "word/\n/word", "!\n\n!\r\n/", "a.b.c. D.E.F.", "Mr. O'Neil-Smith's co-op", "(a)(B)[c]", ".net C# C++ F# R&D",
    "\U00010400\U00010428 \U0001d400\U0001d7ff \U00020000", "\ua78f \ua792 \uab53 ꟺ \u1c88", "\u0345\u0301 \u20dd x\u20dd", "ﾊﾝｶｸ ＡＢＣ１２３！", "𝟘𝟙𝟚 ٠١٢ ०१२",
    "Hello hello Zorkmid zorkmid!", "<|im_start|>user\nHi<|im_end|>\n", "<tool_call> {\"a\": 1} </tool_call>", "a<|im_start|> b", "<|im_start|", "",
]
PARTS = ["a", "B", "é", "中", "1", " ", "  ", "\n", "'s", "'S", ".", "_", "\u0301", "😀", "я", "Я", "\t", "—", "$", "ʰ"]


def texts():
    mixed = [a + b + c for i, a in enumerate(PARTS) for j, b in enumerate(PARTS) for c in [PARTS[(7 * i + 3 * j) % 20]]]
    return SCRIPTS + [mixed[i] + mixed[-1 - i] + mixed[(i * 11) % 400] for i in range(0, 400, 3)]


def train():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, max_token_length=12
    )
    corpus = [(ROOT / name).read_text() for name in ["README.md", "ARCHITECTURE.md", "src/chat/messages.ts"]]
    lines = [line for text in corpus for line in text.splitlines(keepends=True)]
    tokenizer.train_from_iterator(lines + SCRIPTS * 2, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    vocab = model["vocab"]
    for word in ["ĠZorkmid", "Hello", "ĠMr"]:  # whole words that no merge makes
        vocab.setdefault(word, len(vocab))
    return vocab, [tuple(merge) for merge in model["merges"]]


def main():
    vocab, merges = train()
    added = [("<|im_start|>", True), ("<|im_end|>", True), ("<tool_call>", False)]
    first = len(vocab)
    all_texts = texts()
    cases = {}
    for name, (patterns, form, whole) in PRES.items():
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=whole))
        tokenizer.normalizer = normalizers.NFC() if form else None
        splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, byte_level])
        tokenizer.decoder = decoders.ByteLevel()
        for content, special in added:
            token = AddedToken(content, special=special, normalized=False)
            (tokenizer.add_special_tokens if special else tokenizer.add_tokens)([token])
        encoded = [tokenizer.encode(text, add_special_tokens=False) for text in all_texts]
        normal = [tokenizer.normalizer.normalize_str(text) if form else text for text in all_texts]
        words = [[len(word) for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)] for text in normal]
        cases[name] = [
            " ".join(map(str, one.ids)) + "|" + " ".join(map(str, cut)) for one, cut in zip(encoded, words)
        ]
    tokens = [None] * first
    for token, id in vocab.items():
        tokens[id] = token
    out = {
        "provenance": "tokenizers 0.23.2, by test/tokenizer/pre_tokenizers.py; a case is ids | length of each word in the byte alphabet",
        "tokens": " ".join(tokens),
        "added": [{"content": content, "special": special} for content, special in added],
        "merges": "\n".join(" ".join(merge) for merge in merges),
        "texts": all_texts,
        "cases": cases,
    }
    path = ROOT / "test/fixtures/tokenizer/pre_tokenizers.json"
    path.write_text(json.dumps(out, ensure_ascii=True, separators=(",", ":")).replace('","', '",\n"') + "\n")


main()
