// Constraints of a generation: which tokens may come next, token by token.

/** The state of one generation in a grammar. */
export interface Constraint {
  /**
   * Tokens that may come next: bit id % 32 of word id >> 5 is set if token id may. Null:
   * every token may. Tokens that end the text are among them where the grammar may end.
   * Valid until accept().
   */
  mask(): Promise<Int32Array | null>;
  /** Continues with a token. @throws RequestError for a token that is not in the mask */
  accept(id: number): void;
  /**
   * Tokens that may be accepted next, one after the other: their masks may be computed before they
   * are. A hint that changes nothing else: others may be accepted, and these may be refused.
   */
  expect?(ids: readonly number[]): void;
  /**
   * The text that must come next, however it is spelled in tokens; "" where there is a choice, or
   * none is known yet. Once it was asked for, it is looked for with later masks.
   */
  forced?(): string;
  /** The text is complete: an end token was accepted. */
  readonly ended: boolean;
  /** Frees what it holds; safe to call twice. */
  close(): void;
}

/** A constraint whose tokens can be taken back. */
export interface Matcher extends Constraint {
  forced(): string;
  /** Takes back the last n tokens, none of which ended the text. */
  takeBack(n: number): void;
}

/** A compiled grammar, for any number of generations. */
export interface Grammar<C extends Constraint = Constraint> {
  /** Sentences about unknown keywords and formats, which constrain nothing. */
  readonly warnings: readonly string[];
  /**
   * A constraint at the start of the grammar. Close it when done.
   * @throws RequestError if the grammars were closed
   */
  matcher(): Promise<C>;
}

/** A schema that refers to others as "#/$defs/<name>", each of them a document of its own. */
export interface JoinedSchema {
  /** The schema that refers to the others. */
  readonly schema: object;
  /** The others. */
  readonly parts: readonly SchemaPart[];
  /** What is written instead of a value of the schema, which then only holds the parts. */
  readonly written?: readonly Written[];
}

/** A piece of a text that is not JSON as a whole. */
export type Written =
  | { readonly text: string }
  /** JSON that is valid by the schema at this path of the joined schema: "$defs", a part's name. */
  | { readonly value: readonly string[] }
  /** Any text that does not contain this one. */
  | { readonly until: string }
  /** One of several sequences. */
  | { readonly any: readonly (readonly Written[])[] }
  /** `of`, repeated min to max times; null: without end. */
  | { readonly of: readonly Written[]; readonly min: number; readonly max: number | null };

/** A schema that others refer to. */
export interface SchemaPart {
  /** Its name in references. */
  readonly name: string;
  /** Its name in messages. */
  readonly label: string;
  /** The schema. */
  readonly schema: unknown;
  /**
   * Its values are objects, and keywords that cannot be enforced are dropped. Otherwise such a
   * schema is rejected.
   */
  readonly loose: boolean;
}

/** The grammars of one vocabulary. Equal texts are compiled once. */
export interface Grammars<C extends Constraint = Constraint> {
  /** Any JSON object (`response_format: json_object`). */
  json(): Promise<Grammar<C>>;
  /**
   * JSON that is valid by a schema.
   * @throws RequestError that names an unsupported keyword and its place
   */
  jsonSchema(schema: unknown): Promise<Grammar<C>>;
  /**
   * JSON that is valid by a schema with parts.
   * @throws RequestError that names a part that is not loose by its label
   */
  joined(schema: JoinedSchema): Promise<Grammar<C>>;
  /**
   * Texts that the pattern matches as a whole.
   * @throws RequestError for an invalid pattern, or one that is too large
   */
  regex(pattern: string): Promise<Grammar<C>>;
  /**
   * Texts of a grammar in EBNF that starts at the rule `root`.
   * @throws RequestError that says where it is wrong
   */
  ebnf(text: string): Promise<Grammar<C>>;
  /**
   * Texts of a structural tag, given as its `format` (structural_tag.ts).
   * @throws RequestError that names the place of what is wrong, or not supported
   */
  structural(format: unknown): Promise<Grammar<C>>;
  /** Frees everything; open constraints end with an error. */
  close(): void;
}
