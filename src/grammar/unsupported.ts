// Why a schema or a pattern cannot be compiled. The caller adds the place and throws a
// RequestError.

/** The message names what is not supported. */
export class Unsupported extends Error {
  override readonly name = "Unsupported";
}

/**
 * A pattern that is not valid at all. The message continues a sentence about it: "is not a regular
 * expression".
 */
export class Invalid extends Unsupported {}
