// Markdown as vnodes: every text of it becomes a text node, never markup.

import type { MarkedToken, Token, Tokens } from "marked";
import type { ComponentChildren, JSX } from "preact";
import { memo } from "preact/compat";
import { useRef } from "preact/hooks";
import { BlockReader } from "./blocks.ts";
import { CodeBlock } from "./code_block.tsx";
import { Plain } from "./plain.tsx";
import { safeLink, withCharacters } from "./safe_link.ts";

/** Quotes and lists nested deeper are shown as they are. */
const DEEPEST = 24;

export interface MarkdownProps {
  readonly text: string;
  /** More of it will come: the last block is not finished. */
  readonly growing?: boolean;
}

export function Markdown({ text, growing = false }: MarkdownProps): JSX.Element {
  const reader = useRef<BlockReader | null>(null);
  reader.current ??= new BlockReader();
  const blocks = reader.current.read(text);
  if (blocks === null)
    return (
      <div class="markdown as-is">
        <Plain text={text} />
      </div>
    );
  return (
    <div class="markdown">
      {blocks.map((block, i) => (
        <Block key={i} raw={block.raw} block={block} growing={growing && i === blocks.length - 1} />
      ))}
    </div>
  );
}

interface BlockProps {
  /** The block's source: the block is drawn again only when this changes. */
  readonly raw: string;
  readonly block: Token;
  readonly growing: boolean;
}

const Block = memo(
  ({ block, growing }: BlockProps) => <>{draw(block, 0, growing)}</>,
  (before, after) => before.raw === after.raw && before.growing === after.growing,
);

function drawAll(tokens: readonly Token[] | undefined, depth: number): ComponentChildren {
  return tokens?.map((token) => draw(token, depth + 1));
}

function draw(given: Token, depth: number, growing = false): ComponentChildren {
  if (depth > DEEPEST) return given.raw;
  const token = given as MarkedToken;
  const inner = (tokens: readonly Token[] | undefined): ComponentChildren => drawAll(tokens, depth);
  switch (token.type) {
    case "paragraph":
      return <p>{inner(token.tokens)}</p>;
    case "text":
      return token.tokens ? inner(token.tokens) : withCharacters(token.text);
    case "escape":
      return token.text;
    case "strong":
      return <strong>{inner(token.tokens)}</strong>;
    case "em":
      return <em>{inner(token.tokens)}</em>;
    case "del":
      return <del>{inner(token.tokens)}</del>;
    case "codespan":
      return <code>{token.text}</code>;
    case "br":
      return <br />;
    case "hr":
      return <hr />;
    case "heading": {
      // The page itself has the levels above.
      const Heading = `h${Math.min(6, token.depth + 2)}` as "h3";
      return <Heading>{inner(token.tokens)}</Heading>;
    }
    case "blockquote":
      return <blockquote>{inner(token.tokens)}</blockquote>;
    case "code":
      return <CodeBlock text={token.text} language={token.lang ?? ""} growing={growing} />;
    case "list":
      return <List list={token} depth={depth} />;
    case "table":
      return <Table table={token} depth={depth} />;
    case "link": {
      const href = safeLink(token.href);
      if (href === null) return token.raw;
      return (
        <a href={href} target="_blank" rel="noreferrer noopener" title={href}>
          {inner(token.tokens)}
        </a>
      );
    }
    case "checkbox":
      return <input type="checkbox" disabled checked={token.checked} aria-label={token.checked ? "done" : "to do"} />;
    default:
      // HTML and images among them: they are shown as the model wrote them.
      return given.raw;
  }
}

function List({ list, depth }: { readonly list: Tokens.List; readonly depth: number }): JSX.Element {
  const items = list.items.map((item, i) => <li key={i}>{drawAll(item.tokens, depth + 1)}</li>);
  return list.ordered ? <ol start={Number(list.start) || 1}>{items}</ol> : <ul>{items}</ul>;
}

function Table({ table, depth }: { readonly table: Tokens.Table; readonly depth: number }): JSX.Element {
  const cell = (Tag: "th" | "td", one: Tokens.TableCell, i: number): JSX.Element => (
    <Tag key={i} {...(one.align && { class: one.align })}>
      {drawAll(one.tokens, depth + 1)}
    </Tag>
  );
  return (
    <div class="wide">
      <table>
        <thead>
          <tr>{table.header.map((one, i) => cell("th", one, i))}</tr>
        </thead>
        <tbody>
          {table.rows.map((row, i) => (
            <tr key={i}>{row.map((one, j) => cell("td", one, j))}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
