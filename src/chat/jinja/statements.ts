// Parses a template's statements.

import { tokenize } from "./lexer.ts";
import type { Data, Expression, If, Name, Statement } from "./nodes.ts";
import { describe, ExpressionParser } from "./parser.ts";

/** Parses a template. @throws TemplateFault, which names the line */
export function parse(source: string): readonly Statement[] {
  return new StatementParser(tokenize(source)).template();
}

/** Tags that end or divide a statement. */
const INNER_TAG = /^(end\w+|el(se|if))$/;

class StatementParser extends ExpressionParser {
  readonly #blocks = new Set<string>();
  /** Number of loops around the current position. */
  #loops = 0;

  template(): Statement[] {
    const body = this.#until([]);
    if (this.is("eof")) return body;
    return this.fail(`'${this.token.value}' has no opening tag`);
  }

  /**
   * Parses statements up to a tag with one of these names, which stays the next token; without
   * names, up to the end.
   */
  #until(ends: readonly string[]): Statement[] {
    const body: Statement[] = [];
    let parts: (Data | Expression)[] = [];
    const flush = (): void => {
      if (parts.length > 0) body.push({ type: "Output", line: parts[0]!.line, parts });
      parts = [];
    };
    for (;;) {
      const token = this.next();
      if (token.type === "data") parts.push({ type: "Data", line: token.line, text: token.value });
      else if (token.type === "print") {
        parts.push(this.tuple({}));
        this.expect("printed");
      } else if (token.type === "begin") {
        flush();
        if (this.is("name", ...ends) && ends.length > 0) return body;
        body.push(this.nested(() => this.#statement()));
        this.expect("end");
      } else {
        flush();
        if (ends.length > 0) this.fail(`expected ${ends.map((end) => `{% ${end} %}`).join(" or ")}, found the end`);
        return body;
      }
    }
  }

  /**
   * Parses the body of a statement, from the end of its tag; consumes the name of the closing tag,
   * but not its %}.
   */
  #body(...ends: readonly string[]): { readonly body: Statement[]; readonly end: string } {
    this.skip("operator", ":");
    this.expect("end");
    const body = this.#until(ends);
    return { body, end: this.next().value };
  }

  #statement(): Statement {
    const { value: tag, line } = this.expect("name");
    switch (tag) {
      case "if":
        return this.#if(line);
      case "for":
        return this.#for(line);
      case "set":
        return this.#set(line);
      case "macro": {
        const { name } = this.nameTarget();
        const signature = this.#signature();
        return { type: "Macro", line, name, ...signature, body: this.#body("endmacro").body };
      }
      case "call": {
        const signature = this.is("operator", "(") ? this.#signature() : { params: [], defaults: [] };
        const call = this.expression();
        if (call.type !== "Call") return this.fail("{% call %}: expected a call", line);
        return { type: "CallBlock", line, call, ...signature, body: this.#body("endcall").body };
      }
      case "generation":
        return {
          type: "CallBlock",
          line,
          call: null,
          params: [],
          defaults: [],
          body: this.#body("endgeneration").body,
        };
      case "filter": {
        let filter = this.filter(null);
        while (this.skip("operator", "|")) filter = this.filter(filter);
        return { type: "FilterBlock", line, body: this.#body("endfilter").body, filter };
      }
      case "with":
        return this.#with(line);
      case "block":
        return this.#block(line);
      case "print": {
        const parts: Expression[] = [];
        while (!this.is("end")) {
          if (parts.length > 0) this.expect("operator", ",");
          parts.push(this.expression());
        }
        return { type: "Output", line, parts };
      }
      case "autoescape": {
        const on = this.expression();
        return { type: "Autoescape", line, on, body: this.#body("endautoescape").body };
      }
      case "break":
        return { type: "Break", line };
      case "continue":
        return { type: "Continue", line };
      case "include":
      case "import":
      case "from":
      case "extends":
        return this.#otherTemplate(tag, line);
    }
    if (INNER_TAG.test(tag)) return this.fail(`{% ${tag} %} has no opening tag`, line);
    return this.fail(`{% ${tag} %} is not a known tag`, line);
  }

  #if(line: number): If {
    const test = this.tuple({ withCondition: false });
    const { body, end } = this.#body("elif", "else", "endif");
    const elifs: If[] = [];
    let last = end;
    while (last === "elif") {
      const at = this.token.line;
      const elif = this.tuple({ withCondition: false });
      const inner = this.#body("elif", "else", "endif");
      elifs.push({ type: "If", line: at, test: elif, body: inner.body, elifs: [], otherwise: [] });
      last = inner.end;
    }
    const otherwise = last === "else" ? this.#body("endif").body : [];
    return { type: "If", line, test, body, elifs, otherwise };
  }

  #for(line: number): Statement {
    const target = this.target({ end: "in" });
    this.expect("name", "in");
    const iterable = this.tuple({ withCondition: false, end: "recursive" });
    const test = this.skip("name", "if") ? this.expression() : null;
    const recursive = this.skip("name", "recursive");
    this.#loops++;
    this.#notLoop(target);
    const { body, end } = this.#body("endfor", "else");
    const otherwise = end === "else" ? this.#body("endfor").body : [];
    this.#loops--;
    return { type: "For", line, target, iterable, body, otherwise, test, recursive };
  }

  #set(line: number): Statement {
    const target = this.target({ members: true });
    this.#notLoop(target);
    if (this.skip("operator", "=")) return { type: "Set", line, target, value: this.tuple({}) };
    let filter = null;
    while (this.skip("operator", "|")) filter = this.filter(filter);
    return { type: "SetBlock", line, target, filter, body: this.#body("endset").body };
  }

  #notLoop(target: Expression): void {
    if (target.type === "Tuple") for (const item of target.items) this.#notLoop(item);
    if (this.#loops > 0 && target.type === "Name" && target.name === "loop") {
      this.fail("'loop' cannot be assigned inside a loop", target.line);
    }
  }

  #signature(): { readonly params: readonly Name[]; readonly defaults: readonly Expression[] } {
    const [params, defaults]: [Name[], Expression[]] = [[], []];
    this.expect("operator", "(");
    while (!this.is("operator", ")")) {
      if (params.length > 0) this.expect("operator", ",");
      const param = this.nameTarget("param");
      if (params.some(({ name }) => name === param.name)) this.fail(`duplicate parameter '${param.name}'`);
      if (this.skip("operator", "=")) defaults.push(this.expression());
      else if (defaults.length > 0) this.fail("a parameter without a default follows one with a default");
      params.push(param);
    }
    this.next();
    return { params, defaults };
  }

  #with(line: number): Statement {
    const [targets, values]: [Expression[], Expression[]] = [[], []];
    while (!this.is("end")) {
      if (targets.length > 0) this.expect("operator", ",");
      targets.push(this.assigned(this.target(), "param", line));
      this.expect("operator", "=");
      values.push(this.expression());
    }
    return { type: "With", line, targets, values, body: this.#body("endwith").body };
  }

  #block(line: number): Statement {
    const name = this.expect("name").value;
    if (this.#blocks.has(name)) this.fail(`block '${name}' is defined twice`, line);
    this.#blocks.add(name);
    const scoped = this.skip("name", "scoped");
    this.skip("name", "required");
    const { body } = this.#body("endblock");
    this.skip("name", name);
    return { type: "Block", line, name, scoped, body };
  }

  /** Parses a tag that would load another template: an error only if it is reached. */
  #otherTemplate(tag: string, line: number): Statement {
    const targets: Name[] = [];
    this.expression();
    if (tag === "import") {
      this.expect("name", "as");
      targets.push(this.nameTarget());
    } else if (tag === "from") {
      this.expect("name", "import");
      do {
        let target = this.nameTarget();
        if (this.skip("name", "as")) target = this.nameTarget();
        targets.push(target);
      } while (this.skip("operator", ","));
    }
    while (this.is("name", "ignore", "missing", "with", "without", "context")) this.next();
    if (!this.is("end")) this.fail(`unexpected ${describe(this.token)}`);
    return { type: "OtherTemplate", line, tag, targets };
  }
}
