// What constrains a generation: which tokens may come next, token by token.

/** One generation's way through a grammar. */
export interface Constraint {
  /**
   * Tokens that may come next: bit id % 32 of word id >> 5 is set for those that may. Null where every token may. A token that
   * ends the text is among them where the grammar may end. Not to be kept: valid until accept().
   */
  mask(): Promise<Int32Array | null>;
  /** Goes on with a token. @throws RequestError for one that the mask does not have */
  accept(id: number): void;
  /** The text is complete: an end token was accepted. */
  readonly ended: boolean;
  /** Frees what it holds; safe to call twice. */
  close(): void;
}

/** A compiled grammar, good for any number of generations. */
export interface Grammar {
  /** What the caller may not expect: keywords and formats that are not known and so constrain nothing. */
  readonly warnings: readonly string[];
  /** A way through it from the start. Close it when done. @throws RequestError if the grammars were closed */
  matcher(): Promise<Constraint>;
}

/** A schema that refers to others as "#/$defs/<name>", each of them a document of its own. */
export interface JoinedSchema {
  readonly schema: object;
  readonly parts: readonly SchemaPart[];
}

export interface SchemaPart {
  readonly name: string;
  /** What messages call it. */
  readonly label: string;
  readonly schema: unknown;
  /** Its values are objects, and what of it cannot be enforced is not: anything may be given. Otherwise it is refused. */
  readonly loose: boolean;
}

/** The grammars of one vocabulary. Compiling is done once for equal texts. */
export interface Grammars {
  /** Any JSON object (`response_format: json_object`). */
  json(): Promise<Grammar>;
  /** JSON that is valid by a schema. @throws RequestError that names a keyword that is not supported, and where it is */
  jsonSchema(schema: unknown): Promise<Grammar>;
  /** JSON that is valid by a schema made of others. @throws RequestError for a part that is not loose, by its label */
  joined(schema: JoinedSchema): Promise<Grammar>;
  /** Texts that the pattern matches as a whole. @throws RequestError for what is no pattern or needs too much */
  regex(pattern: string): Promise<Grammar>;
  /** Texts of a grammar in EBNF, from the rule `root`. @throws RequestError that says where it is wrong */
  ebnf(text: string): Promise<Grammar>;
  /** Frees everything; matchers that are open end with an error. */
  close(): void;
}
