// Parses expressions, with Jinja2's precedence.

import { TemplateFault } from "./bounds.ts";
import type { Token, TokenType } from "./lexer.ts";
import type { Arguments, Call, Expression, Filter, Name } from "./nodes.ts";

/** Nesting depth of expressions and statements. */
const MAX_NESTING = 150;

const COMPARISONS: ReadonlySet<string> = new Set(["==", "!=", "<", "<=", ">", ">="]);

export class ExpressionParser {
  protected readonly tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens;
  }

  protected get token(): Token {
    return this.tokens[this.#at]!;
  }

  protected next(): Token {
    const { token } = this;
    if (token.type !== "eof") this.#at++;
    return token;
  }

  protected is(type: TokenType, ...values: readonly string[]): boolean {
    return this.token.type === type && (values.length === 0 || values.includes(this.token.value));
  }

  #ahead(type: TokenType, value: string): boolean {
    const next = this.tokens[this.#at + 1];
    return next?.type === type && next.value === value;
  }

  protected skip(type: TokenType, value: string): boolean {
    const found = this.is(type, value);
    if (found) this.next();
    return found;
  }

  protected expect(type: TokenType, value?: string): Token {
    if (this.token.type === type && (value === undefined || this.token.value === value)) return this.next();
    const wanted = value ?? { end: "%}", printed: "}}", name: "a name" }[type as string] ?? type;
    return this.fail(`expected ${value === undefined ? wanted : `'${wanted}'`}, found ${describe(this.token)}`);
  }

  protected fail(message: string, line = this.token.line): never {
    throw new TemplateFault(`line ${line}: ${message}`);
  }

  protected nested<T>(parse: () => T): T {
    if (++this.#depth > MAX_NESTING) this.fail(`nested more than ${MAX_NESTING} levels deep`);
    const result = parse();
    this.#depth--;
    return result;
  }

  expression(withCondition = true): Expression {
    return this.nested(() => (withCondition ? this.#condition() : this.#or()));
  }

  #condition(): Expression {
    let left = this.#or();
    for (let { line } = this.token; this.skip("name", "if"); line = this.token.line) {
      const test = this.#or();
      const otherwise = this.skip("name", "else") ? this.nested(() => this.#condition()) : null;
      left = { type: "Condition", line, test, value: left, otherwise };
    }
    return left;
  }

  #or(): Expression {
    return this.#binary(["or"], "name", () => this.#and());
  }

  #and(): Expression {
    return this.#binary(["and"], "name", () => this.#not());
  }

  #binary(operators: readonly string[], type: TokenType, operand: () => Expression): Expression {
    let left = operand();
    while (this.is(type, ...operators)) {
      const { value: operator, line } = this.next();
      left = { type: "Binary", line, operator, left, right: operand() };
    }
    return left;
  }

  #not(): Expression {
    if (!this.is("name", "not")) return this.#compare();
    const { line } = this.next();
    return { type: "Unary", line, operator: "not", operand: this.nested(() => this.#not()) };
  }

  #compare(): Expression {
    const { line } = this.token;
    const first = this.#sum();
    const [operators, others]: [string[], Expression[]] = [[], []];
    for (;;) {
      if (this.token.type === "operator" && COMPARISONS.has(this.token.value)) operators.push(this.next().value);
      else if (this.skip("name", "in")) operators.push("in");
      else if (this.is("name", "not") && this.#ahead("name", "in")) {
        this.next();
        this.next();
        operators.push("not in");
      } else break;
      others.push(this.#sum());
    }
    return operators.length === 0 ? first : { type: "Compare", line, first, operators, others };
  }

  #sum(): Expression {
    return this.#binary(["+", "-"], "operator", () => this.#concatenation());
  }

  #concatenation(): Expression {
    const { line } = this.token;
    const parts = [this.#product()];
    while (this.skip("operator", "~")) parts.push(this.#product());
    return parts.length === 1 ? parts[0]! : { type: "Concat", line, parts };
  }

  #product(): Expression {
    return this.#binary(["*", "/", "//", "%"], "operator", () => this.#power());
  }

  #power(): Expression {
    return this.#binary(["**"], "operator", () => this.#unary());
  }

  #unary(withFilter = true): Expression {
    let node: Expression;
    if (this.is("operator", "-", "+")) {
      const { value, line } = this.next();
      node = { type: "Unary", line, operator: value as "-" | "+", operand: this.nested(() => this.#unary(false)) };
    } else node = this.primary();
    node = this.#postfix(node);
    return withFilter ? this.#filtersAndTests(node) : node;
  }

  /** @param members whether an attribute of a namespace is allowed, as in assignments */
  protected primary(members = false): Expression {
    const token = this.next();
    const { line, value } = token;
    switch (token.type) {
      case "name":
        if (/^([tT]rue|[fF]alse)$/.test(value)) return { type: "Const", line, value: /^t/i.test(value) };
        if (/^[nN]one$/.test(value)) return { type: "Const", line, value: null };
        if (members && this.skip("operator", ".")) {
          return { type: "Member", line, name: value, attribute: this.expect("name").value };
        }
        return { type: "Name", line, name: value, use: "load" };
      case "text": {
        let text = value;
        while (this.is("text")) text += this.next().value;
        return { type: "Const", line, value: text };
      }
      case "number":
        return { type: "Const", line, value: token.number };
      case "operator":
        if (value === "(") {
          const inner = this.nested(() => this.tuple({ parenthesised: true }));
          this.expect("operator", ")");
          return inner;
        }
        if (value === "[") return { type: "List", line, items: this.nested(() => this.#items("]", this.#inner)) };
        if (value === "{") return this.#dict(line);
    }
    return this.fail(`unexpected ${describe(token)}`, line);
  }

  readonly #inner = (): Expression => this.expression();

  #items<T>(end: string, parse: () => T): T[] {
    const items: T[] = [];
    while (!this.is("operator", end)) {
      if (items.length > 0) this.expect("operator", ",");
      if (this.is("operator", end)) break;
      items.push(parse());
    }
    this.expect("operator", end);
    return items;
  }

  #dict(line: number): Expression {
    const pairs = this.nested(() =>
      this.#items("}", () => {
        const key = this.expression();
        this.expect("operator", ":");
        return [key, this.expression()] as const;
      }),
    );
    return { type: "Dict", line, keys: pairs.map(([key]) => key), values: pairs.map(([, value]) => value) };
  }

  /** One expression, or several separated by commas as a tuple. */
  protected tuple(options: {
    readonly parenthesised?: boolean;
    readonly withCondition?: boolean;
    readonly end?: string;
    readonly parse?: () => Expression;
  }): Expression {
    const { parenthesised = false, withCondition = true, end, parse = () => this.expression(withCondition) } = options;
    const { line } = this.token;
    const items: Expression[] = [];
    let comma = false;
    for (;;) {
      if (items.length > 0) this.expect("operator", ",");
      if (this.is("printed") || this.is("end") || this.is("operator", ")")) break;
      if (end !== undefined && this.is("name", end)) break;
      items.push(parse());
      if (!this.is("operator", ",")) break;
      comma = true;
    }
    if (!comma && items.length > 0) return items[0]!;
    if (!comma && !parenthesised) this.fail(`expected an expression, found ${describe(this.token)}`);
    return { type: "Tuple", line, items };
  }

  #postfix(start: Expression): Expression {
    let node = start;
    for (;;) {
      if (this.is("operator", ".", "[")) node = this.#subscript(node);
      else if (this.is("operator", "(")) node = this.#call(node);
      else return node;
    }
  }

  #filtersAndTests(start: Expression): Expression {
    let node = start;
    for (;;) {
      if (this.skip("operator", "|")) node = this.filter(node);
      else if (this.skip("name", "is")) node = this.#test(node);
      else if (this.is("operator", "(")) node = this.#call(node);
      else return node;
    }
  }

  #subscript(object: Expression): Expression {
    const { value, line } = this.next();
    if (value === ".") {
      const token = this.next();
      if (token.type === "name") return { type: "Attribute", line, object, name: token.value };
      if (token.type !== "number" || !/^\d+$/.test(token.value)) this.fail("expected a name or a number", token.line);
      return { type: "Item", line, object, index: { type: "Const", line, value: token.number } };
    }
    const indices: Expression[] = [];
    while (!this.is("operator", "]")) {
      if (indices.length > 0) this.expect("operator", ",");
      indices.push(this.#subscripted());
    }
    this.next();
    const index: Expression = indices.length === 1 ? indices[0]! : { type: "Tuple", line, items: indices };
    return { type: "Item", line, object, index };
  }

  #subscripted(): Expression {
    const { line } = this.token;
    const part = (): Expression | null => (this.is("operator", ":", "]", ",") ? null : this.expression());
    const start = part();
    if (!this.skip("operator", ":")) return start ?? this.fail(`unexpected ${describe(this.token)}`);
    const stop = part();
    return { type: "Slice", line, start, stop, step: this.skip("operator", ":") ? part() : null };
  }

  #call(callee: Expression): Call {
    const { line } = this.token;
    return { type: "Call", line, callee, ...this.#arguments() };
  }

  #arguments(): Arguments {
    const { line } = this.expect("operator", "(");
    const args: Expression[] = [];
    const keywords: { type: "Keyword"; name: string; value: Expression }[] = [];
    let rest: Expression | null = null;
    let restKeywords: Expression | null = null;
    const ensure = (right: boolean): void => {
      if (!right) this.fail("these arguments are in the wrong order", line);
    };
    this.nested(() =>
      this.#items(")", () => {
        if (this.skip("operator", "*")) {
          ensure(rest === null && restKeywords === null);
          rest = this.expression();
        } else if (this.skip("operator", "**")) {
          ensure(restKeywords === null);
          restKeywords = this.expression();
        } else if (this.is("name") && this.#ahead("operator", "=")) {
          ensure(restKeywords === null);
          const name = this.next().value;
          this.next();
          if (keywords.some((one) => one.name === name)) this.fail(`'${name}' is given twice`, line);
          keywords.push({ type: "Keyword", name, value: this.expression() });
        } else {
          ensure(rest === null && restKeywords === null && keywords.length === 0);
          args.push(this.expression());
        }
      }),
    );
    return { args, keywords, rest, restKeywords };
  }

  #callable(): { readonly line: number; readonly name: string } {
    const { line, value } = this.expect("name");
    let name = value;
    while (this.skip("operator", ".")) name += `.${this.expect("name").value}`;
    return { line, name };
  }

  /** Parses a filter, starting at its name. */
  protected filter(input: Expression): Filter;
  protected filter(input: Expression | null): Filter;
  protected filter(input: Expression | null): Filter {
    const named = this.#callable();
    return { type: "Filter", ...named, input, ...(this.is("operator", "(") ? this.#arguments() : NO_ARGUMENTS) };
  }

  #test(input: Expression): Expression {
    const negated = this.skip("name", "not");
    const named = this.#callable();
    let given = NO_ARGUMENTS;
    if (this.is("operator", "(")) given = this.#arguments();
    else if (
      (this.is("name") || this.is("text") || this.is("number") || this.is("operator", "[", "{")) &&
      !this.is("name", "else", "or", "and")
    ) {
      if (this.is("name", "is")) this.fail("tests cannot be chained with 'is'");
      given = { ...NO_ARGUMENTS, args: [this.#postfix(this.primary())] };
    }
    const test: Expression = { type: "Test", ...named, input, ...given };
    return negated ? { type: "Unary", line: named.line, operator: "not", operand: test } : test;
  }

  /** Parses the target of an assignment. @param end the name that may follow a tuple */
  protected target(options: { readonly end?: string; readonly members?: boolean } = {}): Expression {
    const { line } = this.token;
    const target = this.tuple({ ...options, parse: () => this.primary(options.members) });
    return this.assigned(target, "store", line);
  }

  protected nameTarget(use: "store" | "param" = "store"): Name {
    const { line, value } = this.expect("name");
    return this.assigned({ type: "Name", line, name: value, use }, use, line) as Name;
  }

  protected assigned(target: Expression, use: "store" | "param", line: number): Expression {
    if (target.type === "Tuple") for (const item of target.items) this.assigned(item, use, line);
    else if (target.type === "Name" && !/^(true|false|none)$/i.test(target.name)) target.use = use;
    else if (target.type !== "Member") this.fail(`cannot assign to a ${target.type.toLowerCase()}`, line);
    return target;
  }
}

const NO_ARGUMENTS: Arguments = { args: [], keywords: [], rest: null, restKeywords: null };

export function describe(token: Token): string {
  const kinds: Partial<Record<TokenType, string>> = {
    ...{ eof: "the end of the template", begin: "'{%'", print: "'{{'", data: "text of the template" },
  };
  return kinds[token.type] ?? (token.type === "text" ? `the text '${token.value}'` : `'${token.value}'`);
}
