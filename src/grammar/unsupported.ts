// Why a schema or a pattern cannot be compiled. The caller adds the place and
// throws a RequestError.

/** A schema or grammar feature that is not supported; the message names it. */
export class Unsupported extends Error {
  override readonly name = "Unsupported";
}

/**
 * A pattern that is not valid at all. The message continues a sentence about it: "is not
 * a regular expression".
 */
export class Invalid extends Unsupported {}
