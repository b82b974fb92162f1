// Runs a folder's chat template: parsed once, rendered within limits, by the rules of Jinja2 as
// transformers configures it.

import { Refusal, Run, TemplateFault } from "./jinja/bounds.ts";
import { compile } from "./jinja/compile.ts";
import { parse } from "./jinja/statements.ts";
import { namesIn } from "./jinja/symbols.ts";
import { plain, type Str } from "./jinja/text.ts";
import { fromData, sizeOfData, type Value } from "./jinja/values.ts";

export { Refusal, TemplateFault };

/** Maximum length of a template in characters; the longest published ones have 40,000. */
const MAX_TEMPLATE = 2 ** 18;

export interface Template {
  /** Names of all variables that occur in the template. */
  readonly mentions: ReadonlySet<string>;
  /** Renders the template with these variables. @throws Refusal, TemplateFault */
  render(variables: Readonly<Record<string, unknown>>): string;
  /**
   * The same; the result marks the characters that came from `Untrusted` data.
   * @throws Refusal, TemplateFault
   */
  write(variables: Readonly<Record<string, unknown>>): Str;
}

/** @throws TemplateFault for a syntax error */
export function parseTemplate(source: string): Template {
  if (source.length > MAX_TEMPLATE) {
    throw new TemplateFault(`expected at most ${MAX_TEMPLATE} characters, found ${source.length}`);
  }
  const { body, execute } = asTemplateFault(() => {
    const body = parse(source);
    return { body, execute: compile(body) };
  });
  const write = (variables: Readonly<Record<string, unknown>>): Str => {
    const run = new Run(sizeOfData(variables));
    const given = new Map<string, Value>();
    for (const [name, value] of Object.entries(variables)) {
      if (value !== undefined) given.set(name, fromData(value));
    }
    return asTemplateFault(() => execute(run, given), run);
  };
  return {
    mentions: asTemplateFault(() => namesIn(body)),
    render: (variables) => plain(write(variables)),
    write,
  };
}

/**
 * Turns every error except a Refusal, stack overflows included, into a TemplateFault that names the
 * template's line.
 */
function asTemplateFault<T>(run: () => T, at?: Run): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof Refusal || !(error instanceof Error)) throw error;
    const where = at === undefined ? "" : `line ${at.line}: `;
    if (error instanceof TemplateFault) {
      throw /^line \d+: /.test(error.message) ? error : new TemplateFault(where + error.message, { cause: error });
    }
    const tooDeep = error instanceof RangeError || error.name === "InternalError"; // Firefox's name for it
    const message = tooDeep ? `nested too deeply or too large (${error.message})` : error.message;
    throw new TemplateFault(where + message, { cause: error });
  }
}
