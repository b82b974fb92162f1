// A streaming UTF-8 decoder, with both usual conventions for bytes that are not UTF-8.

import { REPLACEMENT } from "./characters.ts";

/**
 * Decodes as the Encoding Standard does (RFC 3629: no overlong forms, no surrogates; U+FEFF is
 * kept), with a choice for broken sequences. "each byte": one U+FFFD for each byte, as
 * SentencePiece prints byte tokens. "sequence": one for the longest beginning of a character, as
 * the Encoding Standard and byte-level tokenizers do.
 */
export class Utf8Decoder {
  readonly #eachByte: boolean;
  /** Bytes of the open sequence: seen so far, and in total. */
  #seen = 0;
  #size = 0;
  #point = 0;
  /** The range of the next byte of the open sequence. */
  #low = 0x80;
  #high = 0xbf;

  constructor(replacement: "each byte" | "sequence") {
    this.#eachByte = replacement === "each byte";
  }

  /** The characters that `bytes` complete. */
  push(bytes: Uint8Array): string {
    let text = "";
    for (const byte of bytes) {
      if (this.#seen > 0) {
        if (byte >= this.#low && byte <= this.#high) {
          this.#point = (this.#point << 6) | (byte & 0x3f);
          this.#low = 0x80;
          this.#high = 0xbf;
          if (++this.#seen === this.#size) {
            text += String.fromCodePoint(this.#point);
            this.#seen = 0;
          }
          continue;
        }
        text += this.end();
      }
      if (byte < 0x80) text += String.fromCharCode(byte);
      else if (byte >= 0xc2 && byte <= 0xf4) this.#open(byte);
      else text += REPLACEMENT;
    }
    return text;
  }

  /** The text of an open sequence when nothing follows. Resets the decoder. */
  end(): string {
    const broken = this.#eachByte ? this.#seen : Math.min(this.#seen, 1);
    this.#seen = 0;
    return REPLACEMENT.repeat(broken);
  }

  #open(lead: number): void {
    this.#seen = 1;
    this.#size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    this.#point = lead & (0x7f >> this.#size);
    // The second byte rules out overlong forms, surrogates and code points past U+10FFFF.
    this.#low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
    this.#high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  }
}
