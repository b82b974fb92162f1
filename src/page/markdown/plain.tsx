// A text as it is, in pieces: only those in view are laid out, and while it grows only the last one
// changes.

import type { JSX } from "preact";
import { memo } from "preact/compat";
import { piecesOf } from "./pieces.ts";

const Piece = memo(({ text }: { readonly text: string }) => <div class="piece">{text}</div>);

export function Plain({ text }: { readonly text: string }): JSX.Element {
  const pieces = piecesOf(text);
  if (pieces.length === 1) return <>{text}</>;
  return (
    <>
      {pieces.map((piece, i) => (
        <Piece key={i} text={piece} />
      ))}
    </>
  );
}
