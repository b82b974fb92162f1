// Which addresses of a model's text may be followed.

const SCHEMES = ["http:", "https:", "mailto:"];

/** The address, as the browser reads it; null where it is no link to follow but a text. */
export function safeLink(href: string): string | null {
  if (!URL.canParse(href)) return null; // relative ones too: they would lead into this server
  const url = new URL(href);
  return SCHEMES.includes(url.protocol) && url.username === "" && url.password === "" ? url.href : null;
}

const NAMED: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: "\u00A0",
  ndash: "\u2013",
  mdash: "\u2014",
  hellip: "\u2026",
  copy: "\u00A9",
  times: "\u00D7",
  deg: "\u00B0",
  rarr: "\u2192",
  larr: "\u2190",
};

/** A text with its references to characters resolved, which stay texts. */
export function withCharacters(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,8}));/gi, (whole, decimal, hex, name) => {
    if (name !== undefined) return NAMED[String(name).toLowerCase()] ?? whole;
    const code = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
