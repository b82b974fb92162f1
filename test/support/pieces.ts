// What a generation gives, read to its end.

import type { Piece } from "../../src/engine/api.ts";

/** Reads a generation to its end. */
export async function collect(pieces: AsyncIterable<Piece>) {
  const all: Piece[] = [];
  for await (const piece of pieces) all.push(piece);
  return { ids: all.flatMap((p) => p.ids), text: all.map((p) => p.text).join(""), finish: all.at(-1)!.finish! };
}
