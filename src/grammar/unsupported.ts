// Why a schema or a pattern cannot be compiled, without the place: who knows the place makes a RequestError of it.

/** The message names what is not supported. */
export class Unsupported extends Error {
  override readonly name = "Unsupported";
}

/** What is no pattern in the first place. The message goes on from what it was given for: "is not a regular expression". */
export class Invalid extends Unsupported {}
